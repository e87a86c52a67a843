"""Drawings that explain: what lies where in memory. For notebooks, which show a figure that ends a cell."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from .pictures import BLUE, COLORS, GRAY, ORANGE
from .regression._costs import surface as cost_surface

__all__ = ["computation", "cost_surface", "storage"]


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
            box = tensor.storage_offset() + sum(i * stride for i, stride in zip(index, tensor.stride(), strict=True))
            readers.setdefault(box, []).append(str(list(index)))
        for box, indices in readers.items():
            axes.text(box + 0.5, height, "\n".join(indices), ha="center", va="center", fontsize=9, color=color)
    axes.set(xlim=(-1.2, length + 0.1), ylim=(-0.6 - 0.6 * len(views), 1.6))
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
_SIGNS = {"add": "+", "sub": "−", "mul": "×", "truediv": "÷", "pow": "power"}


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
