"""Dropout: random zeros while training, the identity otherwise; alpha dropout for self-normalizing networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real

import torch
from jaxtyping import Float
from torch import Tensor

from funcdl import random
from funcdl.nn.layer import Buffers, Layer, Params
from funcdl.nn.validation import IMAGE, LENGTH, VOLUME

_DROPPED = -1.7580993408473766  # the limit of selu at minus infinity: -scale * alpha


def dropout(p: float = 0.5) -> Layer:
    """While training, sets each element to zero with probability `p` and divides the others by `1 - p`.

    The expected value does not change. When not training, the input is returned unchanged.

    Args:
        p: the probability of a zero, from 0 to 1.

    Under `vmap` over inputs with one key, all members share one mask; to avoid that, map over keys as well.

    Raises:
        ValueError: `p` is not a probability; raised by `apply` if training without a key.

    Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014. Equals
    `torch.nn.Dropout` except that the mask is drawn from `key`.

    >>> layer = dropout(0.5)
    >>> layer({}, torch.ones(4))
    tensor([1., 1., 1., 1.])
    >>> y = layer({}, torch.ones(1000), key=random.key(0), train=True)
    >>> y.unique()
    tensor([0., 2.])
    """
    return _dropout("dropout", p, lambda x: x.shape)


def dropout1d(p: float = 0.5) -> Layer:
    """Like `dropout`, but drops whole channels of a sequence: neighboring points are too correlated to drop one by one.

    Args:
        p: the probability of a zero, from 0 to 1.

    Input (batch, channels, length) or (channels, length), where a channel is one (length,).

    Raises:
        ValueError: `p` is not a probability; raised by `apply` if training without a key, or with another rank.

    Equals `torch.nn.Dropout1d` except for the source of randomness.

    >>> y = dropout1d(0.5)({}, torch.ones(2, 3, 4), key=random.key(0), train=True)
    >>> bool((y == y[:, :, :1]).all())
    True
    """
    return _channel_dropout("dropout1d", p, LENGTH)


def dropout2d(p: float = 0.5) -> Layer:
    """Like `dropout`, but drops whole channels of an image: neighboring pixels are too correlated to drop one by one.

    Args:
        p: the probability of a zero, from 0 to 1.

    Input (batch, channels, height, width) or (channels, height, width), where a channel is one (height, width); or
    (batch, features), whose elements are dropped one by one.

    Raises:
        ValueError: `p` is not a probability; raised by `apply` if training without a key, or with another rank.

    Source: Tompson et al., "Efficient object localization using convolutional networks", 2015. Equals
    `torch.nn.Dropout2d` except for the source of randomness, and that three dimensions are (channels, height, width),
    as for `conv2d`; for torch they are (batch, channels, length).

    >>> y = dropout2d(0.5)({}, torch.ones(2, 3, 4, 4), key=random.key(0), train=True)
    >>> bool((y == y[:, :, :1, :1]).all())
    True
    """
    return _channel_dropout("dropout2d", p, IMAGE)


def dropout3d(p: float = 0.5) -> Layer:
    """Like `dropout2d`, for volumes (batch, channels, depth, height, width) or (channels, depth, height, width).

    Equals `torch.nn.Dropout3d` except for the source of randomness.

    >>> y = dropout3d(0.5)({}, torch.ones(2, 3, 4, 4, 4), key=random.key(0), train=True)
    >>> bool((y == y[:, :, :1, :1, :1]).all())
    True
    """
    return _channel_dropout("dropout3d", p, VOLUME)


def alpha_dropout(p: float = 0.5) -> Layer:
    """While training, sets each element to `d = -1.758` with probability `p`, then returns `a * x + b`.

    With `a = 1 / sqrt((1 - p) * (1 + p * d²))` and `b = -a * p * d` mean 0 and variance 1 are preserved. `d` is the
    limit of `selu` at minus infinity. When not training, the input is returned unchanged.

    Args:
        p: the probability of being dropped, from 0 to 1. With 1 the result is zero.

    Raises:
        ValueError: `p` is not a probability; raised by `apply` if training without a key.

    Source: Klambauer et al., "Self-normalizing neural networks", 2017. Equals `torch.nn.AlphaDropout` but for the
    source of randomness: the mask follows from `key`.

    >>> y = alpha_dropout(0.5)({}, torch.zeros(1000), key=random.key(0), train=True)
    >>> y.unique()
    tensor([-0.7792,  0.7792])
    """
    return _alpha_dropout("alpha_dropout", p, lambda x: x.shape)


def feature_alpha_dropout(p: float = 0.5) -> Layer:
    """Like `alpha_dropout`, but drops whole channels: everything after the first two dimensions.

    Args:
        p: the probability of being dropped, from 0 to 1.

    Input (batch, channels, ...), output likewise.

    Raises:
        ValueError: `p` is not a probability; raised by `apply` if training without a key, or with fewer dimensions.

    Equals `torch.nn.FeatureAlphaDropout` except for the source of randomness.

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


def _channel_dropout(constructor: str, p: float, axes: tuple[str, ...]) -> Layer:
    """Dropout with one draw per channel, or per element of (batch, features)."""
    image = f"channels, {', '.join(axes)}"
    or_features = "" if axes == LENGTH else " or (batch, features)"

    def mask_shape(x: Tensor) -> tuple[int, ...]:
        if or_features and x.ndim == 2:
            return x.shape
        if x.ndim not in (len(axes) + 1, len(axes) + 2):
            raise ValueError(
                f"{constructor}(p={p}): expected (batch, {image}), ({image}){or_features}, got shape {tuple(x.shape)}; "
                "dropout() takes any shape"
            )
        return (*x.shape[: -len(axes)], *(1 for _ in axes))

    return _dropout(constructor, p, mask_shape)


def _dropout(constructor: str, p: float, mask_shape: Callable[[Tensor], tuple[int, ...]]) -> Layer:
    """Dropout with one draw per element of `mask_shape(x)`, which broadcasts with `x`."""
    scale = 1 / (1 - p) if isinstance(p, Real) and p < 1 else 0.0

    def drop(x: Tensor, keep: Tensor) -> Tensor:
        return x * (keep.to(x.dtype) * scale)  # three times as fast as torch.where, also backward

    return _masked(constructor, p, mask_shape, drop)


def _masked(
    constructor: str,
    p: float,
    mask_shape: Callable[[Tensor], tuple[int, ...]],
    drop: Callable[[Tensor, Tensor], Tensor],
) -> Layer:
    """A layer that in training returns `drop(x, keep)`; `keep`, of `mask_shape(x)`, is False with probability `p`."""
    name = f"{constructor}(p={p})"
    if not isinstance(p, Real) or not 0 <= p <= 1:
        raise ValueError(f"{name}: expected a probability from 0 to 1")

    def init(key: Tensor, x: Tensor) -> tuple[Params, Buffers]:
        return {}, {}

    def apply(
        params: Params, buffers: Buffers, x: Float[Tensor, " ..."], *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Float[Tensor, " ..."], Buffers]:
        if not train or p == 0:
            return x, buffers
        if key is None:
            raise ValueError(f"{name}: train=True needs a key; pass key=random.key(seed) to apply()")
        return drop(x, random.bernoulli(key, 1 - p, mask_shape(x))), buffers

    return Layer(init, apply)


def _alpha_dropout(constructor: str, p: float, mask_shape: Callable[[Tensor], tuple[int, ...]]) -> Layer:
    possible = isinstance(p, Real) and 0 <= p < 1
    a = 1 / math.sqrt((1 - p) * (1 + p * _DROPPED**2)) if possible else 0.0
    b = -a * p * _DROPPED if possible else 0.0

    def drop(x: Tensor, keep: Tensor) -> Tensor:
        kept = keep.to(x.dtype)
        return torch.addcmul(kept * (-a * _DROPPED) + (a * _DROPPED + b), x, kept * a)

    return _masked(constructor, p, mask_shape, drop)
