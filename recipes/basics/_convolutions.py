"""Layers for images: convolutions, their cost, their adjoint, and pools, on numbers to check by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import nn, random

from ..lesson import Lesson

IMAGE = [[3, 4, 6, 5, 7], [2, 4, 6, 8, 2], [1, 6, 7, 8, 4], [9, 7, 4, 6, 2], [3, 7, 5, 4, 1]]
POOLED = [row[:4] for row in IMAGE[:4]]
CHANNELS = [[[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[1, 4, 7], [2, 5, 8], [3, 6, 9]], [[9, 8, 7], [6, 5, 4], [3, 2, 1]]]


def convolution(lesson: Lesson, key: Tensor) -> None:
    """Sums of products at every position; the size is floor((n + 2 padding - kernel) / stride) + 1."""
    image = torch.tensor(IMAGE, dtype=torch.double)[None, None]
    kernel = {"weight": torch.arange(1, 10, dtype=torch.double).reshape(1, 1, 3, 3)}
    figures = "211 295 262 / 259 282 214 / 251 253 169"
    lesson.show_code("conv", nn.conv2d(1, 3, bias=False)(kernel, image)[0, 0], figures)
    figures = "91 168 224 215 127 / 114 211 295 262 149 / ... / 96 112 110 68 31"
    lesson.show_code("conv_padding1", nn.conv2d(1, 3, padding=1, bias=False)(kernel, image)[0, 0], figures)
    lesson.show_code("conv_stride2", nn.conv2d(1, 3, stride=2, bias=False)(kernel, image)[0, 0], "211 262 / 251 169")
    layer = nn.conv2d(10, 3)
    params, _ = layer.init(key, torch.empty(1, 5, 100, 100))
    lesson.show_code("conv_weight", params["weight"].shape, "10 5 3 3", preceding=2)
    lesson.show_code("conv_shape", layer(params, torch.zeros(1, 5, 100, 100)).shape, "1 10 98 98")
    lesson.show_code("unbatched", layer(params, torch.zeros(5, 100, 100)).shape)
    lesson.remark("Layers take one image without a batch dimension, too; the notes allow batches only.")
    image = torch.tensor(CHANNELS, dtype=torch.double)[None]
    mix = {"weight": torch.tensor([0.5, 0.3, 0.2], dtype=torch.double).reshape(1, 3, 1, 1)}
    figures = "2.6 3.8 5.0 / 3.8 5.0 6.2 / 5.0 6.2 7.4"
    lesson.show_code("conv1x1", nn.conv2d(1, 1, bias=False)(mix, image)[0, 0], figures)
    direct, narrow = multiplications(192, 32, 5), multiplications(192, 16, 1) + multiplications(16, 32, 5)
    lesson.show("cost_direct", "multiplications: 192 channels of 28 x 28 to 32 by 5 x 5", direct, "120422400")
    lesson.show("cost_narrow", "the same through 16 channels by 1 x 1", narrow, "12443648")
    lesson.show("cost_ratio", "their ratio", direct / narrow, "9.68", 3)
    lesson.remark("One slide prints 12,433,648 products; 192 * 16 * 784 + 16 * 32 * 25 * 784 is 12,443,648.")

    down, up = nn.conv2d(1, 3, stride=2, bias=False), nn.conv_transpose2d(1, 3, stride=2, bias=False)
    x, y = torch.tensor(IMAGE, dtype=torch.double)[None, None], torch.arange(4, dtype=torch.double).reshape(1, 1, 2, 2)
    lesson.show_code("transposed_shape", up(kernel, y).shape, "(n-1)s-2p+k", preceding=2)
    lesson.show_code("adjoint", ((down(kernel, x) * y).sum(), (x * up(kernel, y)).sum()), "equal")
    lesson.remark("A transposed convolution is the adjoint of the convolution, not its inverse.")


def multiplications(inputs: int, outputs: int, kernel: int, size: int = 28) -> int:
    """The number of multiplications of a convolution that does not change the size of an image."""
    example = torch.empty(1, inputs, size, size)
    params, _ = nn.conv2d(outputs, kernel, padding="same", bias=False).init(random.key(0), example)
    return params["weight"].numel() * size * size


def pooling(lesson: Lesson) -> None:
    """The largest, the mean or the least of each 2 x 2 window."""
    image = torch.tensor(POOLED, dtype=torch.float)[None, None]
    lesson.show_code("max_pool", nn.max_pool2d(2)({}, image)[0, 0], "4 8 / 9 8")
    lesson.show_code("avg_pool", nn.avg_pool2d(2)({}, image)[0, 0])
    lesson.show_code("min_pool", nn.min_pool2d(2)({}, image)[0, 0], "-max(-x)")
