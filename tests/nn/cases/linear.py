import torch

from funcdl import nn
from tests.nn.cases.case import Case

T = torch.nn

CASES = {
    "linear": [
        Case(nn.linear(5), lambda: T.Linear(3, 5), (4, 3)),
        Case(nn.linear(5, bias=False), lambda: T.Linear(3, 5, bias=False), (4, 3)),
        Case(nn.linear(1), lambda: T.Linear(3, 1), (2, 4, 3)),
    ],
    "bilinear": [
        Case(nn.bilinear(5), lambda: T.Bilinear(3, 4, 5), [(6, 3), (6, 4)], exact=False),
        Case(nn.bilinear(2, bias=False), lambda: T.Bilinear(3, 1, 2, bias=False), [(6, 2, 3), (6, 2, 1)], exact=False),
    ],
}
