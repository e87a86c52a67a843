import torch

from funcdl import nn
from tests.nn.cases.case import Case, image

T = torch.nn

CASES = {
    "relu": [Case(nn.relu(), T.ReLU, (4, 3))],
    "log_softmax": [
        Case(nn.log_softmax(-1), lambda: T.LogSoftmax(-1), (4, 3)),
        Case(nn.log_softmax(dim=1), lambda: T.LogSoftmax(1), image, unbatched=False),
    ],
}
