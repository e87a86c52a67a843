"""Adaptive pooling: to a given output size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor

from funcdl.nn.layer import Layer, stateless
from funcdl.nn.validation import IMAGE, LENGTH, VOLUME, check_image, is_whole

Size = int | Sequence[int | None] | None


def adaptive_avg_pool1d(output_size: Size) -> Layer:
    """Average pooling of a sequence to `output_size` points: `adaptive_avg_pool2d` with one axis, `length`.

    Equals `torch.nn.AdaptiveAvgPool1d`.

    >>> import torch
    >>> adaptive_avg_pool1d(2)({}, torch.arange(5.0).view(1, 5))
    tensor([[1., 3.]])
    """
    return _adaptive("adaptive_avg_pool1d", LENGTH, output_size, F.adaptive_avg_pool1d)


def adaptive_avg_pool2d(output_size: Size) -> Layer:
    """Average pooling of an image to a given size, for each channel.

    Along an axis of size s, output point i of n is the mean of the points from `floor(i * s / n)` up to, but without,
    `ceil((i + 1) * s / n)`.

    Args:
        output_size: one number or (height, width); None keeps the size of the axis, 1 is the mean over it.

    Input (batch, channels, height, width) or (channels, height, width), output likewise.

    Raises:
        ValueError: another number of sizes, a size below 1, or an input of another rank or of size 0.

    Equals `torch.nn.AdaptiveAvgPool2d`.

    >>> import torch
    >>> adaptive_avg_pool2d((1, None))({}, torch.arange(6.0).view(1, 2, 3))
    tensor([[[1.5000, 2.5000, 3.5000]]])
    """
    return _adaptive("adaptive_avg_pool2d", IMAGE, output_size, F.adaptive_avg_pool2d)


def adaptive_avg_pool3d(output_size: Size) -> Layer:
    """Average pooling of a volume to a given size: `adaptive_avg_pool2d` with (depth, height, width).

    Equals `torch.nn.AdaptiveAvgPool3d`.

    >>> import torch
    >>> adaptive_avg_pool3d((None, 1, 1))({}, torch.arange(8.0).view(1, 2, 2, 2)).flatten()
    tensor([1.5000, 5.5000])
    """
    return _adaptive("adaptive_avg_pool3d", VOLUME, output_size, F.adaptive_avg_pool3d)


def adaptive_max_pool1d(output_size: Size) -> Layer:
    """Like `adaptive_avg_pool1d`, with the maximum. Equals `torch.nn.AdaptiveMaxPool1d`, without its indices.

    >>> import torch
    >>> adaptive_max_pool1d(2)({}, torch.arange(5.0).view(1, 5))
    tensor([[2., 4.]])
    """
    return _adaptive("adaptive_max_pool1d", LENGTH, output_size, F.adaptive_max_pool1d)


def adaptive_max_pool2d(output_size: Size) -> Layer:
    """Like `adaptive_avg_pool2d`, with the maximum. Equals `torch.nn.AdaptiveMaxPool2d`, without its indices.

    >>> import torch
    >>> adaptive_max_pool2d(1)({}, torch.arange(6.0).view(1, 2, 3))
    tensor([[[5.]]])
    """
    return _adaptive("adaptive_max_pool2d", IMAGE, output_size, F.adaptive_max_pool2d)


def adaptive_max_pool3d(output_size: Size) -> Layer:
    """Like `adaptive_avg_pool3d`, with the maximum. Equals `torch.nn.AdaptiveMaxPool3d`, without its indices.

    >>> import torch
    >>> adaptive_max_pool3d((None, 1, 1))({}, torch.arange(8.0).view(1, 2, 2, 2)).flatten()
    tensor([3., 7.])
    """
    return _adaptive("adaptive_max_pool3d", VOLUME, output_size, F.adaptive_max_pool3d)


def _adaptive(constructor: str, axes: tuple[str, ...], output_size: Size, pool: Callable[..., Tensor]) -> Layer:
    """Pooling of the spatial `axes` to a given size."""
    name = f"{constructor}({output_size})"
    rank = len(axes)
    wanted = tuple(output_size) if isinstance(output_size, Sequence) else (output_size,) * rank
    if len(wanted) != rank:
        raise ValueError(f"{name}: expected an int, None, or {rank} of them for output_size")
    if any(size is not None and (not is_whole(size) or size < 1) for size in wanted):
        raise ValueError(f"{name}: expected output sizes of at least 1, or None for the size of the input")

    def f(x: Tensor) -> Tensor:
        check_image(name, x, axes)
        sizes = x.shape[-rank:]
        if 0 in sizes:
            raise ValueError(f"{name}: expected an image with points, got shape {tuple(x.shape)}")
        return pool(x, [size if want is None else want for size, want in zip(sizes, wanted, strict=True)])

    return stateless(f)
