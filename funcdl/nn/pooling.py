"""Pooling by the largest or the smallest value, and what all pooling over windows has in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor

from funcdl.nn.checks import IMAGE, LENGTH, VOLUME, check_image, per_axis
from funcdl.nn.layer import Layer, stateless


def max_pool1d(
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    *,
    ceil_mode: bool = False,
) -> Layer:
    """Takes the largest value in each window of a sequence: `max_pool2d` with one axis, `length`, instead of two.

    Input (batch, channels, length) or (channels, length), output likewise.

    Equals `torch.nn.MaxPool1d` (without its `return_indices`).

    >>> import torch
    >>> max_pool1d(2)({}, torch.tensor([[1.0, 5.0, 3.0, 2.0]]))
    tensor([[5., 3.]])
    """
    return window_pool("max_pool1d", LENGTH, kernel_size, stride, padding, ceil_mode, F.max_pool1d, dilation)


def max_pool2d(
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    *,
    ceil_mode: bool = False,
) -> Layer:
    """Takes the largest value in each window of an image, channel by channel.

    A size of the output is `floor((size + 2 * padding - dilation * (kernel_size - 1) - 1) / stride) + 1`.

    Args:
        kernel_size: of the window, as one number or (height, width), like the next three.
        stride: the step from one window to the next; `kernel_size` by default.
        padding: of minus infinity, added to both ends of each axis; at most half the window.
        dilation: the distance between neighbouring points of the window.
        ceil_mode: rounds the size of the output up, so that windows may stick out at the end.

    Input (batch, channels, height, width) or (channels, height, width), output likewise.

    Raises:
        ValueError: an argument is impossible, or the input has the wrong rank or is smaller than the window.

    Equals `torch.nn.MaxPool2d` (without its `return_indices`).

    >>> import torch
    >>> max_pool2d(2)({}, torch.arange(16.0).view(1, 4, 4))
    tensor([[[ 5.,  7.],
             [13., 15.]]])
    """
    return window_pool("max_pool2d", IMAGE, kernel_size, stride, padding, ceil_mode, F.max_pool2d, dilation)


def max_pool3d(
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    *,
    ceil_mode: bool = False,
) -> Layer:
    """Takes the largest value in each window of a volume: `max_pool2d` with the axes depth, height and width.

    Input (batch, channels, depth, height, width) or (channels, depth, height, width), output likewise.

    Equals `torch.nn.MaxPool3d` (without its `return_indices`).

    >>> import torch
    >>> max_pool3d((1, 2, 2))({}, torch.arange(8.0).view(1, 2, 2, 2))
    tensor([[[[3.]],
             [[7.]]]])
    """
    return window_pool("max_pool3d", VOLUME, kernel_size, stride, padding, ceil_mode, F.max_pool3d, dilation)


def min_pool1d(
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    *,
    ceil_mode: bool = False,
) -> Layer:
    """Takes the smallest value in each window of a sequence: `-max_pool1d(-x)`, with the arguments of `max_pool1d`.

    torch has no such class.

    >>> import torch
    >>> min_pool1d(2)({}, torch.tensor([[1.0, 5.0, 3.0, 2.0]]))
    tensor([[1., 2.]])
    """
    return window_pool("min_pool1d", LENGTH, kernel_size, stride, padding, ceil_mode, _least(F.max_pool1d), dilation)


def min_pool2d(
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    *,
    ceil_mode: bool = False,
) -> Layer:
    """Takes the smallest value in each window of an image: `-max_pool2d(-x)`, with the arguments of `max_pool2d`.

    The padding is of plus infinity. torch has no such class.

    >>> import torch
    >>> min_pool2d(2)({}, torch.arange(16.0).view(1, 4, 4))
    tensor([[[ 0.,  2.],
             [ 8., 10.]]])
    """
    return window_pool("min_pool2d", IMAGE, kernel_size, stride, padding, ceil_mode, _least(F.max_pool2d), dilation)


def min_pool3d(
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    *,
    ceil_mode: bool = False,
) -> Layer:
    """Takes the smallest value in each window of a volume: `-max_pool3d(-x)`, with the arguments of `max_pool3d`.

    torch has no such class.

    >>> import torch
    >>> min_pool3d((1, 2, 2))({}, torch.arange(8.0).view(1, 2, 2, 2)).flatten()
    tensor([0., 4.])
    """
    return window_pool("min_pool3d", VOLUME, kernel_size, stride, padding, ceil_mode, _least(F.max_pool3d), dilation)


def window_pool(
    constructor: str,
    axes: tuple[str, ...],
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None,
    padding: int | Sequence[int],
    ceil_mode: bool,
    pool: Callable[..., Tensor],
    dilation: int | Sequence[int] | None = None,
    description: str = "",
) -> Layer:
    """Pooling over windows of the spatial `axes`: `pool(x, kernel, strides, pads, [dilations,] ceil_mode)`, checked.

    In errors the layer appears as `constructor(description)`, by default with the kernel size.
    """
    name = f"{constructor}({description or kernel_size})"
    rank = len(axes)
    kernel = per_axis(name, "kernel_size", kernel_size, rank)
    strides = kernel if stride is None else per_axis(name, "stride", stride, rank)
    pads = per_axis(name, "padding", padding, rank)
    dilations = (1,) * rank if dilation is None else per_axis(name, "dilation", dilation, rank)
    for argument, values in (("kernel_size", kernel), ("stride", strides), ("dilation", dilations)):
        if min(values) < 1:
            raise ValueError(f"{name}: expected {argument} of at least 1, got {values}")
    extents = tuple(d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True))
    if any(not 0 <= p <= extent // 2 for p, extent in zip(pads, extents, strict=True)):
        raise ValueError(f"{name}: expected padding from 0 to half the window, {extents}, got {padding}")
    spacing = () if dilation is None else (dilations,)

    def f(x: Tensor) -> Tensor:
        check_image(name, x, axes)
        for size, pad, extent, step in zip(x.shape[-rank:], pads, extents, strides, strict=True):
            out_by = extent - size - 2 * pad  # how far the first window sticks out
            if size == 0 or out_by >= (step if ceil_mode else 1):
                raise ValueError(
                    f"{name}: expected a padded image of at least {extents}, the extent of the window, "
                    f"got shape {tuple(x.shape)}; use a smaller window or fewer pooling layers"
                )
        return pool(x, kernel, strides, pads, *spacing, ceil_mode)

    return stateless(f)


def _least(max_pool: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, *window: -max_pool(-x, *window)
