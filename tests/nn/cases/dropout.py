import torch

from funcdl import nn
from tests.nn.cases.case import Case, image

T = torch.nn

CASES = {
    "dropout": [
        Case(nn.dropout(), T.Dropout, (4, 3)),
        Case(nn.dropout(0.25), lambda: T.Dropout(0.25), image),
    ],
    "dropout2d": [Case(nn.dropout2d(0.25), lambda: T.Dropout2d(0.25), image)],
}
