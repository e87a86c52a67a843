import torch

from funcdl import nn
from tests.nn.cases.case import Case, image

T = torch.nn

CASES = {
    "conv2d": [
        Case(nn.conv2d(6, 3), lambda: T.Conv2d(4, 6, 3), image),
        Case(nn.conv2d(6, (3, 2), (2, 1), (1, 0)), lambda: T.Conv2d(4, 6, (3, 2), (2, 1), (1, 0)), image),
        Case(
            nn.conv2d(6, [2, 3], dilation=(2, 3), groups=2),
            lambda: T.Conv2d(4, 6, (2, 3), dilation=(2, 3), groups=2),
            image,
        ),
        Case(nn.conv2d(8, 3, groups=4, bias=False), lambda: T.Conv2d(4, 8, 3, groups=4, bias=False), image),
        Case(nn.conv2d(5, 4, padding="same"), lambda: T.Conv2d(4, 5, 4, padding="same"), image),
        Case(nn.conv2d(5, 3, padding="valid"), lambda: T.Conv2d(4, 5, 3, padding="valid"), image),
        *(
            Case(
                nn.conv2d(3, 3, 2, (1, 2), padding_mode=mode),
                lambda mode=mode: T.Conv2d(4, 3, 3, 2, (1, 2), padding_mode=mode),
                image,
            )
            for mode in ("reflect", "replicate", "circular")
        ),
        Case(
            nn.conv2d(3, (4, 3), padding="same", padding_mode="reflect"),
            lambda: T.Conv2d(4, 3, (4, 3), padding="same", padding_mode="reflect"),
            image,
        ),
    ],
}
