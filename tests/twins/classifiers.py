"""The classifiers of sequences as `nn.Module`, with packed sequences."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence


class NameClassifier(nn.Module):
    def __init__(self, classes, characters=128, hidden=100):
        super().__init__()
        self.embedding = nn.Embedding(characters, hidden)
        self.gru = nn.GRU(hidden, hidden, 2, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * hidden, classes)

    def forward(self, input, lengths, enforce_sorted=False):
        _, hidden = self.gru(pack_padded_sequence(self.embedding(input), lengths.cpu(), True, enforce_sorted))
        return self.fc(torch.cat([hidden[-1], hidden[-2]], dim=1))


class PhraseClassifier(nn.Module):
    def __init__(self, classes, words, size=64):
        super().__init__()
        self.embedding = nn.Embedding(words, size, padding_idx=0)
        self.lstm = nn.LSTM(size, size, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(2 * size, classes)

    def forward(self, input, lengths, enforce_sorted=False):
        _, (hidden, _) = self.lstm(pack_padded_sequence(self.embedding(input), lengths.cpu(), True, enforce_sorted))
        return self.fc(self.dropout(torch.cat([hidden[-2], hidden[-1]], dim=1)))


class RowClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(28, 64, batch_first=True)
        self.out = nn.Linear(64, 10)

    def forward(self, x):
        return self.out(self.rnn(x)[0][:, -1])


class LetterModel(nn.Module):
    def __init__(self, recurrent, letters, embedding, hidden, layers=1):
        super().__init__()
        self.emb = nn.Embedding(letters, embedding)
        self.rnn = recurrent(embedding, hidden, layers, batch_first=True)
        self.fc = nn.Linear(hidden, letters)

    def forward(self, x):
        return self.fc(self.rnn(self.emb(x))[0])


class Unrolled(nn.RNNCell):
    def forward(self, x):
        states = [super().forward(x[:, 0])]
        for step in range(1, x.shape[1]):
            states.append(super().forward(x[:, step], states[-1]))
        return torch.stack(states, 1)
