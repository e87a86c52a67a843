import torch

from funcdl import nn
from tests.nn.cases.case import Case, image

T = torch.nn

CASES = {
    "flatten": [
        Case(nn.flatten(), T.Flatten, image, unbatched=False),
        Case(nn.flatten(-2), lambda: T.Flatten(-2), image),
        Case(nn.flatten(1, 2), lambda: T.Flatten(1, 2), image, unbatched=False),
    ],
}
