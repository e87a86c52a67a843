import torch
from einops.layers.torch import Rearrange

from funcdl import nn
from tests.nn.cases.case import Case, image

T = torch.nn

CASES = {
    "identity": [Case(nn.identity(), T.Identity, image)],
    "flatten": [
        Case(nn.flatten(), T.Flatten, image, unbatched=False),
        Case(nn.flatten(-2), lambda: T.Flatten(-2), image),
        Case(nn.flatten(1, 2), lambda: T.Flatten(1, 2), image, unbatched=False),
    ],
    "unflatten": [
        Case(nn.unflatten(-1, (2, 4)), lambda: T.Unflatten(-1, (2, 4)), image),
        Case(nn.unflatten(1, [2, -1, 2]), lambda: T.Unflatten(1, (2, -1, 2)), image, unbatched=False),
    ],
    "rearrange": [
        Case(
            nn.rearrange("b (c two) h w -> b (w h) two c", two=2),
            lambda: Rearrange("b (c two) h w -> b (w h) two c", two=2),
            image,
            unbatched=False,
        ),
        Case(
            nn.rearrange("... h (p q) -> ... q (p h)", p=2),
            lambda: Rearrange("... h (p q) -> ... q (p h)", p=2),
            image,
        ),
    ],
}
