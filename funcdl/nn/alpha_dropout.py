"""Dropout for self-normalizing networks, which keeps the mean at 0 and the variance at 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real

import torch
from torch import Tensor

from funcdl.nn.dropout import masked
from funcdl.nn.layer import Layer

_DROPPED = -1.7580993408473766  # what selu tends to on the left: minus its scale times its alpha


def alpha_dropout(p: float = 0.5) -> Layer:
    """While training, sets each element to `d = -1.758` with probability `p`, then returns `a * x + b`.

    With `a = 1 / sqrt((1 - p) * (1 + p * d²))` and `b = -a * p * d` mean 0 and variance 1 are kept. `d` is what
    `selu` gives for large negative numbers. When not training, the input is returned as it is.

    Args:
        p: the probability to be dropped, from 0 to 1. With 1 the result is zero.

    Raises:
        ValueError: `p` is not a probability; or by `apply`, when training without a key.

    Source: Klambauer et al., "Self-normalizing neural networks", 2017. Equals `torch.nn.AlphaDropout` but for the
    source of randomness: the mask follows from `key`.

    >>> import torch
    >>> from funcdl import random
    >>> y = alpha_dropout(0.5)({}, torch.zeros(1000), key=random.key(0), train=True)
    >>> y.unique()
    tensor([-0.7792,  0.7792])
    """
    return _alpha_dropout("alpha_dropout", p, lambda x: x.shape)


def feature_alpha_dropout(p: float = 0.5) -> Layer:
    """As `alpha_dropout`, but drops whole channels: all that lies behind the first two dimensions.

    Args:
        p: the probability to be dropped, from 0 to 1.

    Input (batch, channels, ...), output likewise.

    Raises:
        ValueError: `p` is not a probability; or by `apply`, when training without a key, or with fewer dimensions.

    Equals `torch.nn.FeatureAlphaDropout` but for the source of randomness.

    >>> import torch
    >>> from funcdl import random
    >>> y = feature_alpha_dropout(0.5)({}, torch.ones(2, 3, 4, 4), key=random.key(0), train=True)
    >>> bool((y == y[:, :, :1, :1]).all())
    True
    """

    def mask_shape(x: Tensor) -> tuple[int, ...]:
        if x.ndim < 2:
            raise ValueError(
                f"feature_alpha_dropout(p={p}): expected (batch, channels, ...), got shape {tuple(x.shape)}; "
                "alpha_dropout() takes any shape"
            )
        return (*x.shape[:2], *(1 for _ in x.shape[2:]))

    return _alpha_dropout("feature_alpha_dropout", p, mask_shape)


def _alpha_dropout(constructor: str, p: float, mask_shape: Callable[[Tensor], tuple[int, ...]]) -> Layer:
    possible = isinstance(p, Real) and 0 <= p < 1
    a = 1 / math.sqrt((1 - p) * (1 + p * _DROPPED**2)) if possible else 0.0
    b = -a * p * _DROPPED if possible else 0.0

    def drop(x: Tensor, keep: Tensor) -> Tensor:
        kept = keep.to(x.dtype)
        return torch.addcmul(kept * (-a * _DROPPED) + (a * _DROPPED + b), x, kept * a)

    return masked(constructor, p, mask_shape, drop)
