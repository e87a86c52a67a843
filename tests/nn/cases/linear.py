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
}
