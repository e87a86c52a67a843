"""The points of the first regressions: the lecture's three, and the handbook's 256 noisy ones."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from funcdl import random


def points(
    dtype: torch.dtype = torch.float64, device: torch.device | None = None
) -> tuple[Float[Tensor, 3], Float[Tensor, 3]]:
    """Returns x = 1, 2, 3 hours and y = 2, 4, 6 points, as y = 2 x has them.

    >>> points(torch.float32)
    (tensor([1., 2., 3.]), tensor([2., 4., 6.]))
    """
    x = torch.tensor([1.0, 2.0, 3.0], dtype=dtype, device=device)
    return x, 2 * x


def lecture_line(device: torch.device) -> tuple[Float[Tensor, "3 1"], Float[Tensor, "3 1"]]:
    """Returns the same points as a linear layer takes them, each a row."""
    x, y = points(torch.float32, device)
    return x[:, None], y[:, None]


def noisy_line(key: Tensor) -> tuple[Float[Tensor, "256 1"], Float[Tensor, "256 1"]]:
    """Returns the handbook's x, uniform in [0, 1), and y = 5 x + 7 with normal noise of deviation 0.25."""
    x_key, noise_key = random.split(key).unbind()
    x = random.uniform(x_key, (256, 1))
    return x, 5 * x + 7 + random.normal(noise_key, (256, 1), std=0.25)
