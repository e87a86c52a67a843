import torch

from funcdl import nn
from tests.nn.cases.case import Case, image

T = torch.nn

CASES = {
    "max_pool2d": [
        Case(nn.max_pool2d(2), lambda: T.MaxPool2d(2), image),
        Case(nn.max_pool2d((3, 2), (1, 2), (1, 0)), lambda: T.MaxPool2d((3, 2), (1, 2), (1, 0)), image),
        Case(nn.max_pool2d(2, dilation=(2, 3)), lambda: T.MaxPool2d(2, dilation=(2, 3)), image),
        Case(nn.max_pool2d(3, 2, ceil_mode=True), lambda: T.MaxPool2d(3, 2, ceil_mode=True), image),
    ],
}
