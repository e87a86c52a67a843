"""Pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor

from funcdl.nn.checks import per_axis
from funcdl.nn.layer import Layer, stateless


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
        padding: of minus infinity, added to both ends of each axis; at most half the kernel size.
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
    return _max_pool("max_pool2d", F.max_pool2d, ("height", "width"), kernel_size, stride, padding, dilation, ceil_mode)


def _max_pool(
    constructor: str,
    pool: Callable[..., Tensor],
    axes: tuple[str, ...],
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None,
    padding: int | Sequence[int],
    dilation: int | Sequence[int],
    ceil_mode: bool,
) -> Layer:
    """Max pooling over the spatial `axes`."""
    name = f"{constructor}({kernel_size})"
    rank = len(axes)
    kernel = per_axis(name, "kernel_size", kernel_size, rank)
    strides = kernel if stride is None else per_axis(name, "stride", stride, rank)
    pads = per_axis(name, "padding", padding, rank)
    dilations = per_axis(name, "dilation", dilation, rank)
    image = f"channels, {', '.join(axes)}"
    if min(*kernel, *strides, *dilations) < 1:
        raise ValueError(f"{name}: expected kernel_size, stride and dilation of at least 1")
    extents = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    if any(not 0 <= p <= extent // 2 for p, extent in zip(pads, extents, strict=True)):
        raise ValueError(f"{name}: expected padding from 0 to half the window, {tuple(extents)}, got {padding}")

    def f(x: Tensor) -> Tensor:
        if x.ndim not in (rank + 1, rank + 2):
            raise ValueError(f"{name}: expected (batch, {image}) or ({image}), got shape {tuple(x.shape)}")
        for size, pad, extent in zip(x.shape[-rank:], pads, extents, strict=True):
            if size + 2 * pad < extent and not ceil_mode:
                raise ValueError(
                    f"{name}: expected a padded image of at least {tuple(extents)}, the extent of the window, "
                    f"got shape {tuple(x.shape)}; use a smaller window or fewer pooling layers"
                )
        return pool(x, kernel, strides, pads, dilations, ceil_mode)

    return stateless(f)
