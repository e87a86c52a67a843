"""Maximum and minimum pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor

from funcdl.nn.layer import Layer
from funcdl.nn.validation import IMAGE, LENGTH, VOLUME
from funcdl.nn.window_pooling import window_pool


def max_pool1d(
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    *,
    ceil_mode: bool = False,
) -> Layer:
    """Max pooling of a sequence: `max_pool2d` with one axis, `length`, instead of two.

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
    """Max pooling: the largest value in each window of an image, for each channel.

    Each output size is `floor((size + 2 * padding - dilation * (kernel_size - 1) - 1) / stride) + 1`.

    Args:
        kernel_size: the size of the window, one number or (height, width), like the next three.
        stride: the step from one window to the next; `kernel_size` by default.
        padding: the number of points (minus infinity) added to both ends of each axis; at most half the window.
        dilation: the distance between neighboring points of the window.
        ceil_mode: whether output sizes are rounded up, so that the last windows may extend beyond the input.

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
    """Max pooling of a volume: `max_pool2d` with the axes depth, height and width.

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
    """Min pooling of a sequence: `-max_pool1d(-x)`, with the arguments of `max_pool1d`.

    torch has no such class.

    >>> import torch
    >>> min_pool1d(2)({}, torch.tensor([[1.0, 5.0, 3.0, 2.0]]))
    tensor([[1., 2.]])
    """
    return window_pool("min_pool1d", LENGTH, kernel_size, stride, padding, ceil_mode, _negated(F.max_pool1d), dilation)


def min_pool2d(
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    *,
    ceil_mode: bool = False,
) -> Layer:
    """Min pooling, the smallest value in each window: `-max_pool2d(-x)`, with the arguments of `max_pool2d`.

    The padding is of plus infinity. torch has no such class.

    >>> import torch
    >>> min_pool2d(2)({}, torch.arange(16.0).view(1, 4, 4))
    tensor([[[ 0.,  2.],
             [ 8., 10.]]])
    """
    return window_pool("min_pool2d", IMAGE, kernel_size, stride, padding, ceil_mode, _negated(F.max_pool2d), dilation)


def min_pool3d(
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    *,
    ceil_mode: bool = False,
) -> Layer:
    """Min pooling of a volume: `-max_pool3d(-x)`, with the arguments of `max_pool3d`.

    torch has no such class.

    >>> import torch
    >>> min_pool3d((1, 2, 2))({}, torch.arange(8.0).view(1, 2, 2, 2)).flatten()
    tensor([0., 4.])
    """
    return window_pool("min_pool3d", VOLUME, kernel_size, stride, padding, ceil_mode, _negated(F.max_pool3d), dilation)


def _negated(max_pool: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, *window: -max_pool(-x, *window)
