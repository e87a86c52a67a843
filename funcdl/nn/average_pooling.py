"""Average pooling, and power-average (Lp) pooling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from funcdl.nn.layer import Layer
from funcdl.nn.validation import IMAGE, LENGTH, VOLUME
from funcdl.nn.window_pooling import window_pool


def avg_pool1d(
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Layer:
    """Average pooling of a sequence: `avg_pool2d` with one axis, `length`, and no `divisor_override`.

    Input (batch, channels, length) or (channels, length), output likewise.

    Equals `torch.nn.AvgPool1d`.

    >>> avg_pool1d(2)({}, torch.tensor([[1.0, 5.0, 3.0, 2.0]]))
    tensor([[3.0000, 2.5000]])
    """
    return _average_pool("avg_pool1d", LENGTH, kernel_size, stride, padding, ceil_mode, F.avg_pool1d, count_include_pad)


def avg_pool2d(
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Layer:
    """Average pooling: the mean of each window of an image, for each channel.

    Each output size is `floor((size + 2 * padding - kernel_size) / stride) + 1`.

    Args:
        kernel_size: the size of the window, one number or (height, width), like the next two.
        stride: the step from one window to the next; `kernel_size` by default.
        padding: the number of zeros added to both ends of each axis; at most half the kernel size.
        ceil_mode: whether output sizes are rounded up, so that the last windows may extend beyond the input; points
            beyond the padding are not counted.
        count_include_pad: whether the zeros of the padding are counted.
        divisor_override: the divisor of a window's sum, instead of the number of points counted.

    Input (batch, channels, height, width) or (channels, height, width), output likewise.

    Raises:
        ValueError: an argument is impossible, or the input has the wrong rank or is smaller than the window.

    Equals `torch.nn.AvgPool2d`.

    >>> avg_pool2d(2)({}, torch.arange(16.0).view(1, 4, 4))
    tensor([[[ 2.5000,  4.5000],
             [10.5000, 12.5000]]])
    """
    return _average_pool(
        "avg_pool2d", IMAGE, kernel_size, stride, padding, ceil_mode, F.avg_pool2d, count_include_pad, divisor_override
    )


def avg_pool3d(
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Layer:
    """Average pooling of a volume: `avg_pool2d` with the axes depth, height and width.

    Input (batch, channels, depth, height, width) or (channels, depth, height, width), output likewise.

    Equals `torch.nn.AvgPool3d`, and works in half precision on the CPU as well, where it computes in float32.

    >>> avg_pool3d((1, 2, 2))({}, torch.arange(8.0).view(1, 2, 2, 2)).flatten()
    tensor([1.5000, 5.5000])
    """
    return _average_pool(
        "avg_pool3d", VOLUME, kernel_size, stride, padding, ceil_mode, _avg_pool3d, count_include_pad, divisor_override
    )


def lp_pool1d(
    norm_type: float,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    ceil_mode: bool = False,
) -> Layer:
    """Lp pooling of a sequence: `lp_pool2d` with one axis, `length`, instead of two.

    Input (batch, channels, length) or (channels, length), output likewise.

    Equals `torch.nn.LPPool1d`.

    >>> lp_pool1d(2, 2)({}, torch.tensor([[3.0, 4.0, 5.0, 12.0]]))
    tensor([[ 5., 13.]])
    """
    return _lp_pool("lp_pool1d", LENGTH, norm_type, kernel_size, stride, ceil_mode, F.avg_pool1d)


def lp_pool2d(
    norm_type: float,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    ceil_mode: bool = False,
) -> Layer:
    """Lp pooling: the p-norm of each window of an image, `(sum of x**p)**(1/p)`, with p = `norm_type`.

    A negative sum, possible for odd p, has no root: the output is NaN.

    Args:
        norm_type: the power p, above 0. 1 is the sum; the larger, the closer to the maximum.
        kernel_size: the size of the window, one number or (height, width), like the stride.
        stride: the step from one window to the next; `kernel_size` by default.
        ceil_mode: whether output sizes are rounded up, so that the last windows may extend beyond the input; their sums
            are scaled to the full number of points.

    Input (batch, channels, height, width) or (channels, height, width), output likewise.

    Raises:
        ValueError: an argument is impossible, or the input has the wrong rank or is smaller than the window.

    Equals `torch.nn.LPPool2d`. The gradient of a window of zeros is zero.

    >>> lp_pool2d(2, 2)({}, torch.full((1, 2, 2), 3.0))
    tensor([[[6.]]])
    """
    return _lp_pool("lp_pool2d", IMAGE, norm_type, kernel_size, stride, ceil_mode, F.avg_pool2d)


def lp_pool3d(
    norm_type: float,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    ceil_mode: bool = False,
) -> Layer:
    """Lp pooling of a volume: `lp_pool2d` with the axes depth, height and width.

    Input (batch, channels, depth, height, width) or (channels, depth, height, width), output likewise.

    Equals `torch.nn.LPPool3d`, and works in half precision on the CPU as well, where it computes in float32.

    >>> lp_pool3d(1, 2)({}, torch.ones(1, 2, 2, 2))
    tensor([[[[8.]]]])
    """
    return _lp_pool("lp_pool3d", VOLUME, norm_type, kernel_size, stride, ceil_mode, _avg_pool3d)


def _average_pool(
    constructor: str,
    axes: tuple[str, ...],
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None,
    padding: int | Sequence[int],
    ceil_mode: bool,
    pool: Callable[..., Tensor],
    count_include_pad: bool,
    divisor_override: int | None = None,
) -> Layer:
    if divisor_override == 0:
        raise ValueError(f"{constructor}({kernel_size}): expected divisor_override other than 0, or None for the mean")
    divisor = () if divisor_override is None else (divisor_override,)  # torch has none over sequences

    def mean(
        x: Tensor, kernel: tuple[int, ...], strides: tuple[int, ...], pads: tuple[int, ...], ceil_mode: bool
    ) -> Tensor:
        if not ceil_mode or not count_include_pad or divisor:
            return pool(x, kernel, strides, pads, ceil_mode, count_include_pad, *divisor)
        # The compiled gradient of windows that extend beyond the input is wrong if the padding is counted (pytorch
        # issue 198119). The padding is therefore made part of the input, and windows that start in its end are dropped.
        sizes = x.shape[-len(kernel) :]
        x = F.pad(x, [side for pad in reversed(pads) for side in (pad, pad)]) if any(pads) else x
        y = pool(x, kernel, strides, 0, True, False)
        inside: list[Any] = [slice(-(-(n + p) // s)) for n, p, s in zip(sizes, pads, strides, strict=True)]
        return y[(..., *inside)]

    return window_pool(constructor, axes, kernel_size, stride, padding, ceil_mode, mean)


def _lp_pool(
    constructor: str,
    axes: tuple[str, ...],
    norm_type: float,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None,
    ceil_mode: bool,
    pool: Callable[..., Tensor],
) -> Layer:
    if not 0 < norm_type < math.inf:
        raise ValueError(
            f"{constructor}({norm_type}, {kernel_size}): expected norm_type above 0 and finite; max_pool is the limit"
        )

    def norm(
        x: Tensor, kernel: tuple[int, ...], strides: tuple[int, ...], pads: tuple[int, ...], ceil_mode: bool
    ) -> Tensor:
        mean = pool(x**norm_type, kernel, strides, pads, ceil_mode, False)  # False: see _average_pool
        total = torch.sign(mean) * torch.relu(mean.abs()) * math.prod(kernel)  # so that the gradient at 0 is 0
        return total.sqrt() if norm_type == 2 else total ** (1 / norm_type)  # compiled, sqrt is three times as fast

    description = f"{norm_type}, {kernel_size}"
    return window_pool(constructor, axes, kernel_size, stride, 0, ceil_mode, norm, description=description)


def _avg_pool3d(x: Tensor, *arguments: Any) -> Tensor:
    """Average pooling of volumes that also supports half precision, for which torch has no CPU kernel."""
    half = x.device.type == "cpu" and x.dtype in (torch.float16, torch.bfloat16)
    return F.avg_pool3d(x.float() if half else x, *arguments).to(x.dtype)
