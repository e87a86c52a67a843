import torch

from funcdl import nn
from tests.nn.cases.case import Case, Integers
from tests.twins.sequences import packed

T = torch.nn
x = (4, 2, 3)  # (time, batch, inputs)
lengths = Integers((2,), 1, 5)


def case(layer, twin, shape):
    return Case(layer, twin, shape, unbatched=False, exact=False)


CASES = {
    "rnn_cell": [
        Case(nn.rnn_cell(4), lambda: T.RNNCell(3, 4), (2, 3), exact=False),
        Case(nn.rnn_cell(4, False, "relu"), lambda: T.RNNCell(3, 4, False, "relu"), [(2, 3), (2, 4)], exact=False),
    ],
    "gru_cell": [
        Case(nn.gru_cell(4), lambda: T.GRUCell(3, 4), [(2, 3), (2, 4)], exact=False),
        Case(nn.gru_cell(4, bias=False), lambda: T.GRUCell(3, 4, bias=False), (2, 3), exact=False),
    ],
    "lstm_cell": [
        Case(nn.lstm_cell(4), lambda: T.LSTMCell(3, 4), [(2, 3), [(2, 4), (2, 4)]], exact=False),
        Case(nn.lstm_cell(4, bias=False), lambda: T.LSTMCell(3, 4, bias=False), (2, 3), exact=False),
    ],
    "rnn": [
        case(nn.rnn(4, 2), lambda: T.RNN(3, 4, 2), x),
        case(
            nn.rnn(4, nonlinearity="relu", bias=False, batch_first=True, bidirectional=True),
            lambda: packed(T.RNN)(3, 4, nonlinearity="relu", bias=False, batch_first=True, bidirectional=True),
            {"input": (2, 4, 3), "lengths": lengths, "hx": (2, 2, 4)},
        ),
    ],
    "gru": [
        case(nn.gru(4), lambda: T.GRU(3, 4), x),
        case(
            nn.gru(4, 2, dropout=0.25, bidirectional=True),
            lambda: packed(T.GRU)(3, 4, 2, dropout=0.25, bidirectional=True),
            {"input": x, "lengths": lengths},
        ),
        case(nn.gru(4, 2, False, True), lambda: T.GRU(3, 4, 2, False, True), [(2, 4, 3), (2, 2, 4)]),
    ],
    "lstm": [
        case(nn.lstm(4), lambda: T.LSTM(3, 4), x),
        case(
            nn.lstm(4, 2, bidirectional=True, proj_size=2),
            lambda: packed(T.LSTM)(3, 4, 2, bidirectional=True, proj_size=2),
            {"input": x, "lengths": lengths, "hx": [(4, 2, 2), (4, 2, 4)]},
        ),
        case(nn.lstm(4, 2, False, True), lambda: T.LSTM(3, 4, 2, False, True), (2, 4, 3)),
    ],
}
