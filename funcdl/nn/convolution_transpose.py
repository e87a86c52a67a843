"""Transposed convolutions: from the output size of a convolution back to its input size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from funcdl.nn.initializers import Initializer
from funcdl.nn.initializers.layer_parameters import weight_and_bias
from funcdl.nn.layer import Layer, Params, parametric
from funcdl.nn.validation import IMAGE, LENGTH, VOLUME, check_dtype, check_image, check_sizes, entry, per_axis


def conv_transpose1d(
    out_channels: int,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    bias: bool = True,
    dilation: int | Sequence[int] = 1,
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Transposed convolution of a sequence: `conv_transpose2d` with one axis, `length`, instead of two.

    Arguments and errors as for `conv_transpose2d`, with pairs replaced by one number. Input (batch, channels, length)
    or (channels, length), output likewise.

    Equals `torch.nn.ConvTranspose1d`.

    >>> from funcdl import random
    >>> layer = conv_transpose1d(2, kernel_size=4, stride=2, padding=1)
    >>> params, buffers = layer.init(random.key(0), torch.empty(1, 3, 10, device="meta"))
    >>> layer(params, torch.zeros(8, 3, 10)).shape
    torch.Size([8, 2, 20])
    """
    return _transposed(
        "conv_transpose1d", F.conv_transpose1d, LENGTH, out_channels, kernel_size, stride, padding, output_padding,
        groups, bias, dilation, weight_init, bias_init,
    )  # fmt: skip


def conv_transpose2d(
    out_channels: int,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    bias: bool = True,
    dilation: int | Sequence[int] = 1,
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Transposed convolution: adds up kernels placed at every point of an image, times its value, plus a bias.

    It is the transpose of the linear map of a `conv2d` with the same arguments, from its output to its input. Each
    output size is `(size - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + output_padding + 1`.

    Args:
        out_channels: the number of channels of the output.
        kernel_size: one number or (height, width), like the next three and `dilation`.
        stride: the step in the output for one step in the input.
        padding: cropped from both ends of each axis of the output.
        output_padding: added to the size at the end of each axis. A strided convolution maps several input sizes to one
            output size; this chooses among them. Smaller than the stride or the dilation.
        groups: the number of groups of channels, each with its own kernels. Divides both numbers of channels.
        bias: whether to add a bias.
        dilation: the distance between neighboring points of the kernel.
        weight_init: draws the weight, of shape (in_channels, out_channels / groups, *kernel_size);
            U(-1/sqrt(f), 1/sqrt(f)) by default, where f is the size of `weight[0]`.
        bias_init: draws the bias, of shape (out_channels,); by default like the weight.

    Input (batch, channels, height, width) or (channels, height, width), output likewise.

    Raises:
        ValueError: an argument is impossible; raised by `init` and `apply` if the input has the wrong rank, the wrong
            number of channels, or is so small that the output is empty.
        TypeError: raised by `apply` if the input has another dtype than the parameters.

    Equals `torch.nn.ConvTranspose2d`, whose only padding mode is zeros, without the `output_size` of its `forward`.

    >>> from funcdl import random
    >>> layer = conv_transpose2d(3, kernel_size=3, stride=2, padding=1, output_padding=1)
    >>> params, buffers = layer.init(random.key(0), torch.empty(1, 16, 7, 7, device="meta"))
    >>> {name: tuple(leaf.shape) for name, leaf in params.items()}
    {'weight': (16, 3, 3, 3), 'bias': (3,)}
    >>> layer(params, torch.zeros(5, 16, 7, 7)).shape
    torch.Size([5, 3, 14, 14])
    """
    return _transposed(
        "conv_transpose2d", F.conv_transpose2d, IMAGE, out_channels, kernel_size, stride, padding, output_padding,
        groups, bias, dilation, weight_init, bias_init,
    )  # fmt: skip


def conv_transpose3d(
    out_channels: int,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    bias: bool = True,
    dilation: int | Sequence[int] = 1,
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Transposed convolution of a volume: `conv_transpose2d` with the axes depth, height and width.

    Arguments and errors as for `conv_transpose2d`, with triples for pairs. Input (batch, channels, depth, height,
    width) or (channels, depth, height, width), output likewise.

    Equals `torch.nn.ConvTranspose3d`.

    >>> from funcdl import random
    >>> layer = conv_transpose3d(2, kernel_size=2, stride=2)
    >>> params, buffers = layer.init(random.key(0), torch.empty(1, 4, 3, 5, 5, device="meta"))
    >>> layer(params, torch.zeros(1, 4, 3, 5, 5)).shape
    torch.Size([1, 2, 6, 10, 10])
    """
    return _transposed(
        "conv_transpose3d", F.conv_transpose3d, VOLUME, out_channels, kernel_size, stride, padding, output_padding,
        groups, bias, dilation, weight_init, bias_init,
    )  # fmt: skip


def _transposed(
    constructor: str,
    convolve: Callable[..., Tensor],
    axes: tuple[str, ...],
    out_channels: int,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int],
    padding: int | Sequence[int],
    output_padding: int | Sequence[int],
    groups: int,
    bias: bool,
    dilation: int | Sequence[int],
    weight_init: Initializer | None,
    bias_init: Initializer | None,
) -> Layer:
    """A transposed convolution over the spatial `axes`."""
    name = f"{constructor}({out_channels}, kernel_size={kernel_size})"
    check_sizes(name, 1, out_channels=out_channels)
    rank = len(axes)
    kernel = per_axis(name, "kernel_size", kernel_size, rank)
    strides = per_axis(name, "stride", stride, rank)
    pads = per_axis(name, "padding", padding, rank)
    extras = per_axis(name, "output_padding", output_padding, rank)
    dilations = per_axis(name, "dilation", dilation, rank)
    if min(*kernel, *strides, *dilations, groups) < 1:
        raise ValueError(f"{name}: expected kernel_size, stride, dilation and groups of at least 1")
    check_sizes(name, 1, groups=groups)
    if min(pads) < 0:
        raise ValueError(f"{name}: expected padding of at least 0, got {padding}")
    if any(not 0 <= extra < max(s, d) for extra, s, d in zip(extras, strides, dilations, strict=True)):
        raise ValueError(
            f"{name}: expected output_padding from 0 to less than the stride or the dilation, got {output_padding} for "
            f"stride={stride} and dilation={dilation}"
        )
    if out_channels % groups:
        raise ValueError(f"{name}: expected out_channels divisible by groups={groups}, got {out_channels}")
    # the output size minus `size * stride`
    offsets = [
        d * (k - 1) + 1 - s - 2 * p + extra
        for k, s, p, extra, d in zip(kernel, strides, pads, extras, dilations, strict=True)
    ]

    def init(key: Tensor, x: Float[Tensor, "*image"]) -> Params:
        check(x)
        channels = x.shape[-rank - 1]
        if channels % groups:
            raise ValueError(f"{name}: expected a number of channels divisible by groups={groups}, got {channels}")
        shape = (channels, out_channels // groups, *kernel)
        return weight_and_bias(
            key, shape, x.dtype, bias=bias, weight_init=weight_init, bias_init=bias_init, outputs=out_channels
        )

    def f(params: Params, x: Float[Tensor, "*image"]) -> Float[Tensor, "*output"]:
        check(x)
        weight = entry(name, params, "weight")
        if x.shape[-rank - 1] != weight.shape[0]:
            raise ValueError(f"{name}: expected {weight.shape[0]} channels, got shape {tuple(x.shape)}")
        check_dtype(name, x, weight)
        kernel_bias = entry(name, params, "bias") if bias and not kernel_omits_bias(x) else None
        y = convolve(x, weight, kernel_bias, strides, pads, extras, groups, dilations)
        if bias and kernel_bias is None:
            y = y + entry(name, params, "bias").to(y.dtype).view(-1, *(1,) * rank)
        return y

    def kernel_omits_bias(x: Tensor) -> bool:
        """Torch 2.15's CPU kernel for bfloat16 adds no bias to output points that no kernel covers."""
        return x.device.type == "cpu" and (x.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu"))

    def check(x: Tensor) -> None:
        check_image(name, x, axes)
        output = [size * s + offset for size, s, offset in zip(x.shape[-rank:], strides, offsets, strict=True)]
        if min(output) < 1:
            raise ValueError(
                f"{name}: expected an image with a non-empty output after cropping padding={padding}, got shape "
                f"{tuple(x.shape)}, whose output is {tuple(output)}"
            )

    return parametric(init, f)
