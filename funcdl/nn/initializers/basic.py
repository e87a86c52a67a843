"""Constants and plain distributions."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from funcdl import random

Initializer = Callable[[Tensor, tuple[int, ...], torch.dtype], Tensor]


def zeros(key: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Returns zeros. Equals `torch.nn.init.zeros_`.

    >>> zeros(random.key(0), (3,), torch.float32)
    tensor([0., 0., 0.])
    """
    return torch.zeros(shape, dtype=dtype, device=key.device)


def ones(key: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Returns ones. Equals `torch.nn.init.ones_`.

    >>> ones(random.key(0), (3,), torch.float32)
    tensor([1., 1., 1.])
    """
    return torch.ones(shape, dtype=dtype, device=key.device)


def constant(value: float) -> Initializer:
    """Returns an initializer that fills with `value`. Equals `torch.nn.init.constant_`.

    >>> constant(0.5)(random.key(0), (3,), torch.float32)
    tensor([0.5000, 0.5000, 0.5000])
    """
    return lambda key, shape, dtype: torch.full(shape, value, dtype=dtype, device=key.device)


def uniform(a: float = 0.0, b: float = 1.0) -> Initializer:
    """Draws from the uniform distribution on [a, b). Equals `torch.nn.init.uniform_`.

    Raises:
        ValueError: `a` is not below `b`, or one is not finite.

    >>> weight = uniform(-0.5, 0.5)(random.key(0), (3, 2), torch.float64)
    >>> bool((weight.abs() <= 0.5).all())
    True
    """
    if not (math.isfinite(a) and math.isfinite(b) and a < b):
        raise ValueError(f"uniform({a}, {b}): expected finite numbers with a < b")
    return lambda key, shape, dtype: random.uniform(key, shape, low=a, high=b, dtype=dtype)


def normal(mean: float = 0.0, std: float = 1.0) -> Initializer:
    """Draws from the normal distribution. Equals `torch.nn.init.normal_`.

    Raises:
        ValueError: `std` is negative.

    >>> normal(std=0.01)(random.key(0), (3, 2), torch.float32).shape
    torch.Size([3, 2])
    """
    if not std >= 0:
        raise ValueError(f"normal({mean}, {std}): expected std of at least 0")
    return lambda key, shape, dtype: random.normal(key, shape, mean=mean, std=std, dtype=dtype)


def truncated_normal(mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Initializer:
    """Draws from the normal distribution, restricted to [a, b].

    Args:
        mean: of the distribution before it is truncated.
        std: likewise, above 0.
        a: the smallest value, not in standard deviations.
        b: the largest value.

    Raises:
        ValueError: `std` is not above 0, or `a` not below `b`.

    Equals `torch.nn.init.trunc_normal_`.

    >>> weight = truncated_normal(std=0.02, a=-0.04, b=0.04)(random.key(0), (100,), torch.float32)
    >>> bool((weight.abs() <= 0.04).all())
    True
    """
    if not (std > 0 and a < b):
        raise ValueError(f"truncated_normal(mean={mean}, std={std}, a={a}, b={b}): expected std > 0 and a < b")
    lower, upper = (a - mean) / std, (b - mean) / std

    def initializer(key: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        standard = random.truncated_normal(key, shape, lower=lower, upper=upper, dtype=dtype)
        return (standard * std + mean).clamp(a, b)  # rounding may push a draw outside

    return initializer
