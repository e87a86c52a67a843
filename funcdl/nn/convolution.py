"""Convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from funcdl.nn.initializers import Initializer
from funcdl.nn.initializers.layer_parameters import weight_and_bias
from funcdl.nn.layer import Layer, Params, parametric
from funcdl.nn.padding import pad
from funcdl.nn.validation import IMAGE, LENGTH, VOLUME, check_dtype, check_image, check_sizes, entry, per_axis

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


def conv1d(
    out_channels: int,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | Literal["same", "valid"] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    bias: bool = True,
    padding_mode: PaddingMode = "zeros",
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Convolution of a sequence: `conv2d` with one axis, `length`, instead of two.

    Arguments and errors as for `conv2d`, with pairs replaced by one number. Input (batch, channels, length) or
    (channels, length), output likewise; the weight has shape (out_channels, in_channels / groups, kernel_size).

    Equals `torch.nn.Conv1d`.

    >>> import torch
    >>> from funcdl import random
    >>> layer = conv1d(16, kernel_size=5, padding="same")
    >>> params, buffers = layer.init(random.key(0), torch.empty(1, 4, 100, device="meta"))
    >>> layer(params, torch.zeros(8, 4, 100)).shape
    torch.Size([8, 16, 100])
    """
    return _convolution(
        "conv1d", F.conv1d, LENGTH, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
        weight_init, bias_init,
    )  # fmt: skip


def conv2d(
    out_channels: int,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | Literal["same", "valid"] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    bias: bool = True,
    padding_mode: PaddingMode = "zeros",
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Convolution of an image with kernels (strictly, cross-correlation), plus a bias.

    Each output size is `floor((size + 2 * padding - dilation * (kernel_size - 1) - 1) / stride) + 1`.

    Args:
        out_channels: the number of channels of the output.
        kernel_size: one number or (height, width), like the next three.
        stride: the step from one position to the next.
        padding: added to both ends of each axis; "valid" is none, "same" keeps the size (with a stride of 1).
        dilation: the distance between neighboring points of the kernel.
        groups: the number of groups of channels, each with its own kernels. Divides both numbers of channels.
        bias: whether to add a bias.
        padding_mode: the values of the padding.
        weight_init: draws the weight, of shape (out_channels, in_channels / groups, *kernel_size);
            U(-1/sqrt(fan_in), 1/sqrt(fan_in)) by default, where fan_in is the size of one kernel.
        bias_init: draws the bias, of shape (out_channels,); by default like the weight.

    Input (batch, channels, height, width) or (channels, height, width), output likewise.

    Raises:
        ValueError: an argument is impossible; raised by `init` and `apply` if the input has the wrong rank, the wrong
            number of channels, or is smaller than the kernel.
        TypeError: raised by `apply` if the input has another dtype than the parameters.

    Equals `torch.nn.Conv2d`.

    >>> import torch
    >>> from funcdl import random
    >>> layer = conv2d(16, kernel_size=3)
    >>> params, buffers = layer.init(random.key(0), torch.empty(1, 1, 28, 28, device="meta"))
    >>> {name: tuple(leaf.shape) for name, leaf in params.items()}
    {'weight': (16, 1, 3, 3), 'bias': (16,)}
    >>> layer(params, torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 16, 26, 26])
    """
    return _convolution(
        "conv2d", F.conv2d, IMAGE, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
        weight_init, bias_init,
    )  # fmt: skip


def conv3d(
    out_channels: int,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | Literal["same", "valid"] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    bias: bool = True,
    padding_mode: PaddingMode = "zeros",
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Convolution of a volume or a video: `conv2d` with the axes depth, height and width.

    Arguments and errors as for `conv2d`, with triples for pairs. Input (batch, channels, depth, height, width) or
    (channels, depth, height, width), output likewise; the weight has shape (out_channels, in_channels / groups,
    *kernel_size).

    Equals `torch.nn.Conv3d`.

    >>> import torch
    >>> from funcdl import random
    >>> layer = conv3d(16, kernel_size=(1, 3, 3))
    >>> params, buffers = layer.init(random.key(0), torch.empty(1, 3, 8, 28, 28, device="meta"))
    >>> layer(params, torch.zeros(2, 3, 8, 28, 28)).shape
    torch.Size([2, 16, 8, 26, 26])
    """
    return _convolution(
        "conv3d", F.conv3d, VOLUME, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
        weight_init, bias_init,
    )  # fmt: skip


def _convolution(
    constructor: str,
    convolve: Callable[..., Tensor],
    axes: tuple[str, ...],
    out_channels: int,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int],
    padding: int | Sequence[int] | Literal["same", "valid"],
    dilation: int | Sequence[int],
    groups: int,
    bias: bool,
    padding_mode: PaddingMode,
    weight_init: Initializer | None,
    bias_init: Initializer | None,
) -> Layer:
    """A convolution over the spatial `axes`."""
    name = f"{constructor}({out_channels}, kernel_size={kernel_size})"
    check_sizes(name, 1, out_channels=out_channels)
    rank = len(axes)
    kernel = per_axis(name, "kernel_size", kernel_size, rank)
    strides = per_axis(name, "stride", stride, rank)
    dilations = per_axis(name, "dilation", dilation, rank)
    reach = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]  # extent of the kernel minus 1
    pads = _pads(name, padding, reach)
    if min(*kernel, *strides, *dilations, groups) < 1:
        raise ValueError(f"{name}: expected kernel_size, stride, dilation and groups of at least 1")
    check_sizes(name, 1, groups=groups)
    if padding == "same" and max(strides) > 1:
        raise ValueError(
            f'{name}: expected stride=1 with padding="same", got stride={stride}; give the padding as ints'
        )
    if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
        raise ValueError(f"{name}: expected padding_mode zeros, reflect, replicate or circular, got {padding_mode!r}")
    if out_channels % groups:
        raise ValueError(f"{name}: expected out_channels divisible by groups={groups}, got {out_channels}")
    pads_before = padding_mode != "zeros"  # zero padding is left to the convolution kernel, where it costs nothing
    inner_padding = "valid" if pads_before else padding if isinstance(padding, str) else tuple(low for low, _ in pads)

    def init(key: Tensor, x: Float[Tensor, "*image"]) -> Params:
        check(x)
        channels = x.shape[-rank - 1]
        if channels % groups:
            raise ValueError(f"{name}: expected a number of channels divisible by groups={groups}, got {channels}")
        shape = (out_channels, channels // groups, *kernel)
        return weight_and_bias(key, shape, x.dtype, bias=bias, weight_init=weight_init, bias_init=bias_init)

    def f(params: Params, x: Float[Tensor, "*image"]) -> Float[Tensor, "*output"]:
        check(x)
        weight = entry(name, params, "weight")
        if x.shape[-rank - 1] != weight.shape[1] * groups:
            raise ValueError(f"{name}: expected {weight.shape[1] * groups} channels, got shape {tuple(x.shape)}")
        check_dtype(name, x, weight)
        if pads_before:
            x = pad(name, x, pads, padding_mode)
        offset = entry(name, params, "bias") if bias else None
        return convolve(x, weight, offset, strides, inner_padding, dilations, groups)

    def check(x: Tensor) -> None:
        check_image(name, x, axes)
        for size, (low, high), needed in zip(x.shape[-rank:], pads, reach, strict=True):
            if size + low + high <= needed:
                raise ValueError(
                    f"{name}: expected a padded image of at least {tuple(r + 1 for r in reach)}, the extent of the "
                    f"kernel, got shape {tuple(x.shape)}; use a smaller kernel or more padding"
                )

    return parametric(init, f)


def _pads(name: str, padding: int | Sequence[int] | str, reach: list[int]) -> list[tuple[int, int]]:
    """The padding before and after each axis."""
    if padding == "same":
        return [(r // 2, r - r // 2) for r in reach]
    if padding == "valid":
        return [(0, 0)] * len(reach)
    if isinstance(padding, str):
        raise ValueError(f'{name}: expected padding as ints, "same" or "valid", got {padding!r}')
    pads = per_axis(name, "padding", padding, len(reach))
    if min(pads) < 0:
        raise ValueError(f"{name}: expected padding of at least 0, got {padding}")
    return [(p, p) for p in pads]
