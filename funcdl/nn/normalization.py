"""Normalization by statistics of each sample: the same in training and evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from funcdl.context import differentiated_once
from funcdl.nn.initializers import Initializer
from funcdl.nn.initializers.layer_parameters import norm_weight_and_bias
from funcdl.nn.layer import Layer, Params, parametric, stateless
from funcdl.nn.standardize import standardize
from funcdl.nn.validation import check_dtype, check_numbers, check_sizes, check_whole, entry


def layer_norm(
    normalized_shape: int | Sequence[int],
    eps: float = 1e-05,
    elementwise_affine: bool = True,
    bias: bool = True,
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Layer normalization: standardizes the last dimensions, then applies a learned weight and bias.

    `y = (x - mean) / sqrt(var + eps) * weight + bias`, with the biased variance.

    Args:
        normalized_shape: the last dimensions of the input, over which mean and variance are taken.
        eps: added to the variance.
        elementwise_affine: whether there is a weight, and with `bias` a bias, of shape `normalized_shape`.
        bias: whether an affine layer adds a bias.
        weight_init: draws the weight; ones by default.
        bias_init: draws the bias; zeros by default.

    Input (..., *normalized_shape), output likewise.

    Raises:
        ValueError: raised by `init` and `apply` if the last dimensions are others.
        TypeError: raised by `apply` if the input has another dtype than the parameters.

    Source: Ba et al., "Layer normalization", 2016. Equals `torch.nn.LayerNorm`.

    >>> import torch
    >>> from funcdl import random
    >>> layer = layer_norm(2, eps=0)
    >>> params, buffers = layer.init(random.key(0), torch.empty(1, 2))
    >>> layer(params, torch.tensor([[1.0, 3.0], [10.0, 30.0]]))
    tensor([[-1.,  1.],
            [-1.,  1.]])
    """
    name, shape = f"layer_norm({normalized_shape})", _as_shape("layer_norm", normalized_shape)
    check_numbers(name, 0, eps=eps)
    affine = (elementwise_affine, elementwise_affine and bias)
    return _affine_norm(
        name, lambda x, weight, bias: normalize_last(x, shape, weight, bias, eps),
        lambda x: _check_last(name, x, shape), affine, weight_init, bias_init,
    )  # fmt: skip


def rms_norm(
    normalized_shape: int | Sequence[int],
    eps: float | None = None,
    elementwise_affine: bool = True,
    *,
    weight_init: Initializer | None = None,
) -> Layer:
    """RMS normalization: scales the last dimensions to a mean square of 1, then applies a learned weight.

    `y = x / sqrt(mean(x²) + eps) * weight`.

    Args:
        normalized_shape: the last dimensions of the input, over which the mean is taken.
        eps: added to the mean square; by default the machine epsilon of float64 for float64, else that of float32,
            1.2e-7.
        elementwise_affine: whether there is a weight, of shape `normalized_shape`.
        weight_init: draws the weight; ones by default.

    Input (..., *normalized_shape), output likewise.

    Raises:
        ValueError: raised by `init` and `apply` if the last dimensions are others.
        TypeError: raised by `apply` if the input has another dtype than the parameters.

    Source: Zhang and Sennrich, "Root mean square layer normalization", 2019. Equals `torch.nn.RMSNorm`.

    >>> import torch
    >>> rms_norm(2, elementwise_affine=False)({}, torch.tensor([1.0, 7.0]))
    tensor([0.2000, 1.4000])
    """
    name, shape = f"rms_norm({normalized_shape})", _as_shape("rms_norm", normalized_shape)
    if eps is not None:
        check_numbers(name, 0, eps=eps)
    return _affine_norm(
        name, lambda x, weight, bias: F.rms_norm(x, shape, weight, eps),
        lambda x: _check_last(name, x, shape), (elementwise_affine, False), weight_init, None,
    )  # fmt: skip


def group_norm(
    num_groups: int,
    eps: float = 1e-05,
    affine: bool = True,
    *,
    bias: bool = True,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Group normalization: standardizes groups of channels, then applies a learned weight and bias.

    `y = (x - mean) / sqrt(var + eps) * weight + bias`, with the biased variance of each sample.

    Args:
        num_groups: the number of groups of neighboring channels; divides the number of channels.
        eps: added to the variance.
        affine: whether there is a weight, and with `bias` a bias, for each channel.
        bias: whether an affine layer adds a bias.
        weight_init: draws the weight, of shape (channels,); ones by default.
        bias_init: draws the bias, of shape (channels,); zeros by default.

    Input (batch, channels, ...), output likewise.

    Raises:
        ValueError: an argument is impossible; raised by `init` and `apply` if the input has no channels, or another
            number of them than the parameters, or one that the groups do not divide.
        TypeError: raised by `apply` if the input has another dtype than the parameters.

    Source: Wu and He, "Group normalization", 2018. Equals `torch.nn.GroupNorm`.

    >>> import torch
    >>> group_norm(2, affine=False)({}, torch.ones(5, 6, 8, 8)).shape
    torch.Size([5, 6, 8, 8])
    """
    name = f"group_norm({num_groups})"
    check_whole(name, num_groups=num_groups)
    if num_groups < 1:
        raise ValueError(f"{name}: expected at least 1 group")
    check_numbers(name, 0, eps=eps)

    def channels_of(x: Tensor) -> tuple[int, ...]:
        if x.ndim < 2 or x.shape[1] % num_groups:
            raise ValueError(
                f"{name}: expected (batch, channels, ...) with channels divisible by {num_groups}, got shape "
                f"{tuple(x.shape)}"
            )
        return (x.shape[1],)

    def normalize(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        return F.group_norm(x, num_groups, weight, bias, eps)

    return _affine_norm(name, normalize, channels_of, (affine, affine and bias), weight_init, bias_init)


def local_response_norm(size: int, alpha: float = 0.0001, beta: float = 0.75, k: float = 1.0) -> Layer:
    """Local response normalization over neighboring channels: `y = x / (k + alpha * mean(x²))^beta`.

    Args:
        size: the number of neighboring channels in the mean; channels beyond the first and last count as zeros.
        alpha: the factor of the mean square.
        beta: the exponent.
        k: the constant.

    Input (batch, channels, ...) of at least 3 dimensions, output likewise.

    Raises:
        ValueError: `size` is less than 1; raised by `apply` if the input has fewer dimensions.

    Source: Krizhevsky et al., "ImageNet classification with deep convolutional neural networks", 2012, with the sum of
    squares. Equals `torch.nn.LocalResponseNorm`.

    >>> import torch
    >>> local_response_norm(1, alpha=1.0, beta=1.0)({}, torch.tensor([[[1.0], [3.0]]]))
    tensor([[[0.5000],
             [0.3000]]])
    """
    name = f"local_response_norm({size})"
    check_whole(name, size=size)
    if size < 1:
        raise ValueError(f"{name}: expected a size of at least 1")
    check_numbers(name, alpha=alpha, beta=beta, k=k)

    def f(x: Tensor) -> Tensor:
        if x.ndim < 3:
            raise ValueError(f"{name}: expected (batch, channels, ...) of 3 or more dimensions, got {tuple(x.shape)}")
        # As F.local_response_norm, but without avg_pool3d, which has no kernel for bfloat16.
        squares = F.pad(x.square().flatten(2).unsqueeze(1), (0, 0, size // 2, (size - 1) // 2))
        mean = F.avg_pool2d(squares, (size, 1), stride=1).view(x.shape)
        return x / (mean * alpha + k) ** beta

    return stateless(f)


def normalize_last(x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Layer normalization over the last dimensions, of the sizes `shape`."""
    if differentiated_once(*(leaf for leaf in (x, weight, bias) if leaf is not None)):
        return F.layer_norm(x, shape, weight, bias, eps)
    if x.is_cuda and torch.is_autocast_enabled("cuda"):
        x = x.to(torch.promote_types(x.dtype, torch.float32))  # as the kernel does under autocast
    return standardize(x, tuple(range(-len(shape), 0)), weight, bias, eps)[0]


def _affine_norm(
    name: str,
    normalize: Callable[[Tensor, Tensor | None, Tensor | None], Tensor],
    shape_of: Callable[[Tensor], tuple[int, ...]],
    affine: tuple[bool, bool],
    weight_init: Initializer | None,
    bias_init: Initializer | None,
) -> Layer:
    """A normalization with a weight and a bias, if `affine` has them, of the shape `shape_of(x)`."""
    has_weight, has_bias = affine

    def init(key: Tensor, x: Float[Tensor, " ..."]) -> Params:
        shape = shape_of(x)
        if not has_weight:
            return {}
        inits = {"weight_init": weight_init, "bias_init": bias_init}
        return norm_weight_and_bias(key, shape, x.dtype, bias=has_bias, **inits)

    def f(params: Params, x: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        shape = shape_of(x)
        weight = entry(name, params, "weight") if has_weight else None
        if weight is not None:
            check_dtype(name, x, weight)
            if weight.shape != shape:
                raise ValueError(
                    f"{name}: expected {weight.shape[0]} channels, as in init(), got shape {tuple(x.shape)}"
                )
        return normalize(x, weight, entry(name, params, "bias") if has_bias else None)

    return parametric(init, f)


def _as_shape(constructor: str, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    shape = tuple(normalized_shape) if isinstance(normalized_shape, Sequence) else (normalized_shape,)
    if not shape:
        raise ValueError(f"{constructor}({normalized_shape}): expected at least one dimension")
    for size in shape:
        check_sizes(constructor, normalized_shape=size)
    return shape


def _check_last(name: str, x: Tensor, shape: tuple[int, ...]) -> tuple[int, ...]:
    if x.shape[-len(shape) :] != shape:
        sizes = ", ".join(map(str, shape))
        raise ValueError(f"{name}: expected (..., {sizes}), got shape {tuple(x.shape)}")
    return shape
