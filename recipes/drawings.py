"""Drawings that explain: what lies where in memory. Notebooks show a figure that ends a cell."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

import funcdl as fd

from .pictures import BLUE, COLORS, GRAY, ORANGE
from .regression._costs import surface as cost_surface

__all__ = ["activations", "computation", "cost_surface", "flow", "matrix", "sheet", "storage", "windows"]


def storage(views: Mapping[str, Tensor], title: str) -> Figure:
    """The boxes of one storage with their numbers, and below them, for each view, the elements that it reads there.

    Args:
        views: tensors by name, which share one storage.
        title: what to see in it.

    Raises:
        ValueError: they lie in several storages.
    """
    first = next(iter(views.values()))
    if len({tensor.untyped_storage().data_ptr() for tensor in views.values()}) > 1:
        raise ValueError(f"storage: {', '.join(views)} do not share one storage; draw each by itself")
    length = first.untyped_storage().nbytes() // first.element_size()
    numbers = first.as_strided((length,), (1,), 0).tolist()
    figure = Figure(figsize=(1.0 + 0.95 * length, 1.3 + 0.45 * len(views)), layout="constrained")
    axes = figure.subplots()
    for box, number in enumerate(numbers):
        axes.add_patch(Rectangle((box, 0), 1, 1, facecolor="#E8F1F8", edgecolor=BLUE))
        axes.text(box + 0.5, 0.5, f"{number:g}", ha="center", va="center", fontsize=13)
        axes.text(box + 0.5, 1.12, str(box), ha="center", va="bottom", fontsize=8, color=GRAY)
    for row, (name, tensor) in enumerate(views.items()):
        color = COLORS[(row + 1) % len(COLORS)]
        height = -0.55 - 0.6 * row
        axes.text(-0.15, height, name, ha="right", va="center", fontsize=10, color=color)
        readers: dict[int, list[str]] = {}
        for index in itertools.product(*map(range, tensor.shape)):
            steps = sum(i * stride for i, stride in zip(index, tensor.stride(), strict=True))
            box = int(tensor.storage_offset() + steps)
            readers.setdefault(box, []).append(str(list(index)))
        for box, indices in readers.items():
            axes.text(box + 0.5, height, "\n".join(indices), ha="center", va="center", fontsize=9, color=color)
    axes.set(xlim=(-1.2, length + 0.1), ylim=(-0.6 - 0.6 * len(views), 1.6))
    axes.set_axis_off()
    axes.set_title(title, fontsize=11)
    return figure


def activations(functions: Mapping[str, Callable[[Tensor], Tensor]], title: str, columns: int = 4) -> Figure:
    """Functions of a number from -4 to 4, each in a small panel with its derivative."""
    x = torch.linspace(-4, 4, 161)
    rows = -(-len(functions) // columns)
    figure = Figure(figsize=(2.2 * columns, 1.75 * rows + 0.7), layout="constrained")
    figure.suptitle(title, fontsize=11)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(functions) :]:
        axes.set_visible(False)
    for axes, (name, f) in zip(grid.flat, functions.items(), strict=False):
        (value,) = axes.plot(x.tolist(), f(x).tolist(), color=BLUE, linewidth=2, label="f(x)")
        (slope,) = axes.plot(x.tolist(), fd.vmap(fd.grad(f))(x).tolist(), "--", color=ORANGE, label="its slope")
        axes.set_title(name, fontsize=9)
        axes.set(ylim=(-2, 3), xlabel="x")
        axes.label_outer()
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    figure.legend(handles=[value, slope], loc="outside lower center", ncols=2, fontsize=9)
    return figure


def windows(
    image: Tensor,
    result: Tensor,
    places: Sequence[tuple[int, int]],
    title: str,
    *,
    size: int,
    stride: int = 1,
    padding: int = 0,
    kernel: Tensor | None = None,
) -> Figure:
    """Some steps of a convolution or a pool: the window over the image, and below it the number that it gives.

    Args:
        image: the numbers that the window goes over, (height, width), without padding.
        result: what comes out, (height, width).
        places: (row, column) in the result, one for each step that is drawn.
        title: what to see in it.
        size: of the window, in each direction.
        stride: pixels from one window to the next.
        padding: zeros around the image, which are drawn in gray.
        kernel: the weights in the window, drawn at the left.
    """
    around = torch.nn.functional.pad(image, [padding] * 4)
    columns = len(places) + (kernel is not None)
    heights = [len(around), len(result)]
    figure = Figure(figsize=(0.36 * around.shape[1] * columns + 0.8, 0.4 * sum(heights) + 0.9), layout="constrained")
    figure.suptitle(title, fontsize=11)
    grid = figure.subplots(2, columns, height_ratios=heights, squeeze=False)
    if kernel is not None:
        matrix(grid[0, 0], kernel, "weights", dict.fromkeys(_boxes(kernel), _CHOSEN))
        grid[1, 0].set_visible(False)
    inside = {(row + padding, column + padding) for row, column in _boxes(image)}
    zeros = dict.fromkeys(set(_boxes(around)) - inside, "#E5E5E5")
    for (above, below), (y, x) in zip(grid.T[columns - len(places) :], places, strict=True):
        window = itertools.product(range(stride * y, stride * y + size), range(stride * x, stride * x + size))
        matrix(above, around, "image", zeros | dict.fromkeys(window, _CHOSEN))
        matrix(below, result, "result", {(y, x): _CHOSEN}, last=(y, x))
    return figure


_CHOSEN = "#FBE5D6"


def _boxes(numbers: Tensor) -> list[tuple[int, int]]:
    height, width = numbers.shape
    return list(itertools.product(range(height), range(width)))


def matrix(
    axes: Axes,
    numbers: Tensor,
    title: str,
    colors: Mapping[tuple[int, int], str],
    last: tuple[int, int] = (sys.maxsize, 0),
) -> None:
    """Draws a matrix as boxes, white but for those in `colors`; those behind the box `last` stay empty."""
    for row, column in _boxes(numbers):
        color = colors.get((row, column), "white")
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor=color, edgecolor=GRAY))
        if (row, column) <= last:
            text = f"{numbers[row, column].item():g}"
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=9)
    height, width = numbers.shape
    axes.set(xlim=(-0.1, width + 0.1), ylim=(height + 0.1, -0.1), aspect="equal")
    axes.set_axis_off()
    axes.set_title(title, fontsize=9, pad=2)


def sheet(
    pictures: Tensor,
    title: str,
    names: Sequence[str] = (),
    *,
    columns: int = 8,
    signed: bool = False,
    size: float = 1.0,
) -> Figure:
    """Small gray pictures side by side, such as images, feature maps or filters.

    Args:
        pictures: of the shape (n, height, width), on one scale from the least to the greatest number.
        title: what to see in it.
        names: one above each.
        columns: how many in a row.
        signed: whether to draw 0 as white, negative numbers in orange and positive ones in purple, with a scale.
        size: of one picture, in inches.
    """
    count, height, width = pictures.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(size * columns + 0.8 * signed, size * rows * height / width + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=11)
    grid = figure.subplots(rows, columns, squeeze=False)
    most = pictures.abs().max().item()
    colors: dict[str, Any] = {"cmap": "PuOr", "vmin": -most, "vmax": most} if signed else {"cmap": "gray"}
    if not signed:
        colors |= {"vmin": pictures.min().item(), "vmax": pictures.max().item()}
    for index, axes in enumerate(grid.flat):
        axes.set_axis_off()
        if index < count:
            image = axes.imshow(pictures[index].numpy(force=True), **colors)
            axes.set_title(names[index] if names else "", fontsize=8, pad=2)
    if signed:
        figure.colorbar(image, ax=grid, shrink=0.9, label="value")
    return figure


def flow(
    boxes: Mapping[str, tuple[float, float]], arrows: Sequence[tuple[str, str]], title: str, height: float = 2.6
) -> Figure:
    """Boxes with words in them, and arrows from one to the next: how a network is built.

    Args:
        boxes: the place (across, up) of the middle of each text, in units of about a box.
        arrows: pairs of texts, from and to. One that would go through a box at the same height goes over it in a curve.
        title: what to see in it.
        height: of the figure, in inches.

    Raises:
        KeyError: an arrow has an end that is no box.
    """
    across, up = zip(*boxes.values(), strict=True)
    figure = Figure(figsize=(1.0 + 1.5 * (max(across) - min(across) + 1), height), layout="constrained")
    axes = figure.subplots()
    texts = {
        text: axes.text(*place, text, ha="center", va="center", fontsize=9, bbox=_BOX | {"edgecolor": BLUE})
        for text, place in boxes.items()
    }
    top = max(up)
    for source, target in arrows:
        (x, y), (to_x, to_y) = boxes[source], boxes[target]
        over = any(y == to_y == height and x < middle < to_x for middle, height in boxes.values())
        top = max(top, y + 0.18 * over * (to_x - x))
        axes.annotate(
            "",
            (to_x, to_y),
            (x, y),
            arrowprops=_ARROW
            | {"patchA": texts[source].get_bbox_patch(), "patchB": texts[target].get_bbox_patch(), "shrinkA": 2}
            | {"shrinkB": 2, "connectionstyle": f"arc3,rad={-0.3 * over}", "color": ORANGE if over else GRAY},
        )
    axes.set(xlim=(min(across) - 0.7, max(across) + 0.7), ylim=(min(up) - 0.5, top + 0.5))
    axes.set_axis_off()
    axes.set_title(title, fontsize=11)
    return figure


def computation(function: Callable[..., Tensor], arguments: Mapping[str, Tensor], title: str) -> Figure:
    """The graph of a function of numbers: each step with its value above, and below it the derivative of the result.

    Args:
        function: a function of the arguments, in their order, that returns one number.
        arguments: numbers by name.
        title: what to see in it.

    Raises:
        ValueError: an argument is not a floating-point number.
    """
    if bad := [name for name, value in arguments.items() if value.ndim or not value.is_floating_point()]:
        raise ValueError(f"computation: expected floating-point numbers, got {', '.join(bad)} of another kind")
    steps = _Steps(torch.fx.symbolic_trace(function))
    result = steps.run(*[value.detach().requires_grad_() for value in arguments.values()])
    slopes = torch.autograd.grad(result, [value for _, value, _ in steps.found.values()])
    names = dict(zip(steps.found, arguments, strict=False))  # the arguments come first
    ranks: dict[Any, int] = {}
    for node, (_, _, inputs) in steps.found.items():
        ranks[node] = 1 + max((ranks[source] for source in inputs), default=-1)
    for node in names:  # an argument stands left of its first use
        ranks[node] = min(ranks[user] for user in node.users if user in ranks) - 1
    columns = [[node for node in ranks if ranks[node] == rank] for rank in range(1 + max(ranks.values()))]
    places = {
        node: (rank, (len(nodes) - 1) / 2 - index)
        for rank, nodes in enumerate(columns)
        for index, node in enumerate(nodes)
    }
    tall = max(map(len, columns))
    figure = Figure(figsize=(1.0 + 1.7 * len(columns), 0.9 + 1.0 * tall), layout="constrained")
    axes = figure.subplots()
    for slope, (node, (label, value, inputs)) in zip(slopes, steps.found.items(), strict=True):
        x, y = places[node]
        for source in inputs:
            axes.annotate("", (x - 0.27, y), (places[source][0] + 0.27, places[source][1]), arrowprops=_ARROW)
        color = COLORS[2] if node in names else BLUE
        axes.text(x, y, names.get(node, label), ha="center", va="center", fontsize=12, bbox=_BOX | {"edgecolor": color})
        axes.text(x, y + 0.24, f"{value.item():g}", ha="center", va="bottom", fontsize=10, color=BLUE)
        axes.text(x, y - 0.24, f"slope {slope.item():g}", ha="center", va="top", fontsize=10, color=ORANGE)
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(-tall / 2 - 0.05, tall / 2 + 0.05))
    axes.set_axis_off()
    axes.set_title(title, fontsize=11)
    return figure


_ARROW = {"arrowstyle": "->", "color": GRAY}
_BOX = {"boxstyle": "round", "facecolor": "white"}
_SIGNS = {"add": "+", "sub": "-", "mul": "·", "truediv": "÷", "pow": "power"}


class _Steps(torch.fx.Interpreter):
    """Runs a traced function and keeps, for each step, what to call it, its value, and the steps it is made from."""

    def __init__(self, traced: torch.fx.GraphModule) -> None:
        super().__init__(traced)
        self.found: dict[Any, tuple[str, Tensor, list[Any]]] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        value = super().run_node(n)
        if n.op != "output" and isinstance(value, Tensor):
            name = getattr(n.target, "__name__", str(n.target))
            constants = [f"{argument:g}" for argument in n.args if isinstance(argument, (int, float))]
            self.found[n] = " ".join([_SIGNS.get(name, name), *constants]), value, list(n.all_input_nodes)
        return value
