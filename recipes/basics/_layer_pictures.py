"""Pictures of what layers for images do, with the numbers of the lesson in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from funcdl import data, nn

from ..drawings import matrix
from ._convolutions import IMAGE, POOLED

KERNEL = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3)
Cells = Iterable[tuple[int, int]]


def square(top: int, left: int, size: int) -> Cells:
    """The rows and columns of a square of cells."""
    return [(row, column) for row in range(top, top + size) for column in range(left, left + size)]


def numbers(axes: Axes, values: Float[Tensor, "m n"], title: str, orange: Cells = (), blue: Cells = ()) -> None:
    """A matrix with its numbers written in cells, of which some are orange and some blue."""
    matrix(axes, values, title, dict.fromkeys(blue, "#cfe3f1") | dict.fromkeys(orange, "#f7d5bf"))


def convolution() -> Figure:
    """One window and its sum, for a plain convolution, with stride 2, and with a border of zeros."""
    image = torch.tensor(IMAGE, dtype=torch.float)
    figure = Figure(figsize=(9, 9), layout="constrained")
    figure.suptitle("A convolution: the orange window times the kernel, number by number, sums up to the orange cell")
    kinds = ("plain", 1, 0), ("stride 2", 2, 0), ("padding 1", 1, 1)
    for line, (name, stride, padding) in zip(figure.subplots(3, 3), kinds, strict=True):
        layer = nn.conv2d(1, 3, stride=stride, padding=padding, bias=False)
        output = layer({"weight": KERNEL}, image[None, None])[0, 0]
        seen = nn.zero_pad2d(padding)({}, image[None, None])[0, 0]
        border = [(r, c) for r, c in square(0, 0, len(seen)) if padding and (r in (0, 6) or c in (0, 6))]
        what = "zeros around it" if padding else "image"
        numbers(line[0], seen, f"{name}: {what}, {len(seen)} x {len(seen)}", square(0, stride, 3), border)
        numbers(line[1], KERNEL[0, 0], "kernel, 3 x 3")
        size = f"(5 + 2 * {padding} - 3) // {stride} + 1 = {len(output)}"
        numbers(line[2], output, f"output: {size} a side", [(0, 1)])
    return figure


def pooling() -> Figure:
    """The largest, the mean and the least number of each window of two by two."""
    image = torch.tensor(POOLED, dtype=torch.float)
    figure = Figure(figsize=(9, 2.9), layout="constrained")
    figure.suptitle("Pooling: each window of 2 x 2 becomes one number")
    first, *rest = figure.subplots(1, 4, width_ratios=[4, 2.4, 2.4, 2.4])
    corners = [*square(0, 0, 2), *square(2, 2, 2)], [*square(0, 2, 2), *square(2, 0, 2)]
    numbers(first, image, "image, 4 x 4", *corners)
    pools: dict[str, Callable[..., nn.Layer]] = {"max": nn.max_pool2d, "average": nn.avg_pool2d, "min": nn.min_pool2d}
    for axes, (name, pool) in zip(rest, pools.items(), strict=True):
        numbers(axes, pool(2)({}, image[None, None])[0, 0], f"{name} pool", [(0, 0), (1, 1)], [(0, 1), (1, 0)])
    return figure


def transposed() -> Figure:
    """A transposed convolution: each number of the input stamps the kernel, and stamps that overlap add up."""
    small = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    up = nn.conv_transpose2d(1, 3, stride=2, bias=False)({"weight": KERNEL}, small[None, None])[0, 0]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    figure.suptitle("A transposed convolution: each input times the kernel is laid down, and what overlaps adds up")
    first, second, third = figure.subplots(1, 3, width_ratios=[2, 3, 5])
    numbers(first, small, "input, 2 x 2", [(0, 0)], [(1, 1)])
    numbers(second, KERNEL[0, 0], "kernel, 3 x 3")
    size = "(2 - 1) * 2 + 3 = 5"
    numbers(third, up, f"output with stride 2: {size} a side", square(0, 0, 3), square(2, 2, 3))
    return figure


def dropout(key: Tensor) -> Figure:
    """Ones before dropout, after it in training, and in use."""
    ones, layer = torch.ones(6, 6), nn.dropout(0.25)
    dropped = layer.apply({}, {}, ones, key=key, train=True)[0]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle("Dropout of 0.25: a quarter becomes 0 at random in training, and the rest is divided by 0.75")
    gone = [(row, column) for row, column in square(0, 0, 6) if dropped[row, column] == 0]
    before, training, use = figure.subplots(1, 3)
    numbers(before, ones, "input")
    numbers(training, (100 * dropped).round() / 100, f"in training: {len(gone)} of 36 are dropped", gone)
    numbers(use, layer.apply({}, {}, ones)[0], "in use: unchanged")
    return figure


def feature_map() -> Figure:
    """A handwritten digit, and where two kernels find edges in it."""
    digit = data.digits().train[0][0].float() / 255
    edges = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    figure.suptitle("Feature maps: a kernel responds where the image has what it looks for")
    first, *rest = figure.subplots(1, 3)
    first.imshow(digit[0].numpy(force=True), cmap="gray")
    first.set_title("image, 28 x 28", fontsize=9)
    kernels = {"left and right edges": edges, "upper and lower edges": edges.T}
    for axes, (name, kernel) in zip(rest, kernels.items(), strict=True):
        found = nn.conv2d(1, 3, bias=False)({"weight": kernel[None, None]}, digit[None])[0, 0]
        image = axes.imshow(found.numpy(force=True), cmap="PuOr", vmin=-4, vmax=4)
        axes.set_title(f"{name}, 26 x 26", fontsize=9)
    figure.colorbar(image, ax=rest, label="response of the kernel")
    for axes in (first, *rest):
        axes.set(xticks=[], yticks=[])
    return figure
