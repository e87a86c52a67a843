"""Layers for images: convolutions, their cost, their adjoint, and pools, on numbers to check by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import nn, random

from ..lesson import Lesson
from .parameters import make

IMAGE = [[3, 4, 6, 5, 7], [2, 4, 6, 8, 2], [1, 6, 7, 8, 4], [9, 7, 4, 6, 2], [3, 7, 5, 4, 1]]
POOLED = [row[:4] for row in IMAGE[:4]]
CHANNELS = [[[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[1, 4, 7], [2, 5, 8], [3, 6, 9]], [[9, 8, 7], [6, 5, 4], [3, 2, 1]]]


def convolution(lesson: Lesson, key: Tensor) -> None:
    """Sums of products at every position; the size is floor((n + 2 padding - kernel) / stride) + 1."""
    image = torch.tensor(IMAGE, dtype=torch.double)[None, None]
    kernel = {"weight": torch.arange(1, 10, dtype=torch.double).reshape(1, 1, 3, 3)}
    for name, stride, padding, figure in (
        ("conv", 1, 0, "211 295 262 / 259 282 214 / 251 253 169"),
        ("conv_padding1", 1, 1, "91 168 224 215 127 / 114 211 295 262 149 / ... / 96 112 110 68 31"),
        ("conv_stride2", 2, 0, "211 262 / 251 169"),
    ):
        layer = nn.conv2d(1, 3, stride, padding, bias=False)
        expression = f"nn.conv2d(1, 3, stride={stride}, padding={padding}, bias=False), kernel 1 to 9"
        lesson.show(name, expression, layer(kernel, image)[0, 0], figure)
    layer = nn.conv2d(10, 3)
    params = make(layer, key, 1, 5, 100, 100)
    lesson.show("conv_weight", "nn.conv2d(10, 3) of (1, 5, 100, 100): weight", params["weight"].shape, "10 5 3 3")
    lesson.show("conv_shape", "its output", layer(params, torch.zeros(1, 5, 100, 100)).shape, "1 10 98 98")
    lesson.show("unbatched", "of one image (5, 100, 100)", layer(params, torch.zeros(5, 100, 100)).shape)
    lesson.remark("Layers take one image without a batch dimension, too; the notes allow batches only.")
    mix = {"weight": torch.tensor([0.5, 0.3, 0.2], dtype=torch.double).reshape(1, 3, 1, 1)}
    mixed = nn.conv2d(1, 1, bias=False)(mix, torch.tensor(CHANNELS, dtype=torch.double)[None])[0, 0]
    lesson.show("conv1x1", "nn.conv2d(1, 1), weights 0.5 0.3 0.2", mixed, "2.6 3.8 5.0 / 3.8 5.0 6.2 / 5.0 6.2 7.4")
    direct, narrow = products(192, 32, 5), products(192, 16, 1) + products(16, 32, 5)
    lesson.show("cost_direct", "products: 192 channels of 28 x 28 to 32 by 5 x 5", direct, "120422400")
    lesson.show("cost_narrow", "the same through 16 channels by 1 x 1", narrow, "12443648")
    lesson.show("cost_ratio", "their ratio", direct / narrow, "9.68", 3)
    lesson.remark("One slide prints 12,433,648 products; 192 * 16 * 784 + 16 * 32 * 25 * 784 is 12,443,648.")

    down, up = nn.conv2d(1, 3, stride=2, bias=False), nn.conv_transpose2d(1, 3, stride=2, bias=False)
    x, y = image, torch.arange(4, dtype=torch.double).reshape(1, 1, 2, 2)
    lesson.show("transposed_shape", "nn.conv_transpose2d(1, 3, stride=2) of 2 x 2", up(kernel, y).shape, "(n-1)s-2p+k")
    products_sum = [(down(kernel, x) * y).sum(), (x * up(kernel, y)).sum()]
    lesson.show("adjoint", "(conv(x) * y).sum(), (x * conv_transpose(y)).sum()", products_sum, "equal")
    lesson.remark("A transposed convolution is the adjoint of the convolution, not its inverse.")


def products(inputs: int, outputs: int, kernel: int, size: int = 28) -> int:
    """How many multiplications a convolution makes that keeps the size of an image."""
    weight = make(nn.conv2d(outputs, kernel, padding="same", bias=False), random.key(0), 1, inputs, size, size)[
        "weight"
    ]
    return weight.numel() * size * size


def pooling(lesson: Lesson) -> None:
    """The largest, the mean or the least of each 2 x 2 window."""
    image = torch.tensor(POOLED, dtype=torch.float)[None, None]
    for name, layer, figure in (
        ("max", nn.max_pool2d(2), "4 8 / 9 8"),
        ("avg", nn.avg_pool2d(2), ""),
        ("min", nn.min_pool2d(2), "-max(-x)"),
    ):
        lesson.show(f"{name}_pool", f"nn.{name}_pool2d(2)", layer({}, image)[0, 0], figure)
