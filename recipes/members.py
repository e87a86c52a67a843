"""Networks trained at once under `vmap`, each from a seed of its own: what holds on average, and what is chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

import funcdl as fd
from funcdl import nn, random, tree
from funcdl.optim import Transformation

from . import pictures


def each(optimizer: Transformation) -> Transformation:
    """Returns the optimizer for members whose parameters are stacked: each has a state of its own."""
    return Transformation(
        fd.vmap(optimizer.init), lambda grads, states, params, **_: fd.vmap(optimizer.update)(grads, states, params)
    )


def initialize(layer: nn.Layer, key: Tensor, count: int, x: Tensor) -> tree.Tree:
    """Returns the stacked parameters of so many members, for inputs like x."""
    return fd.vmap(lambda key: layer.init(key, x)[0])(random.split(key, count))


def band(axes: Axes, x: Sequence[float], values: Float[Tensor, "x members"], name: str, color: str, style: str) -> None:
    """Draws the mean of the members as a line, and from the least to the largest of them as a band."""
    members = values.numpy(force=True)
    spread(axes, x, (members.min(1), members.mean(1), members.max(1)), name, color, style)


def spread(axes: Axes, x: Sequence[float], numbers: Sequence[Any], name: str, color: str, style: str) -> None:
    """Draws the mean of members as a line, and from the least to the largest as a band; `numbers` are these three."""
    least, mean, largest = numbers
    axes.plot(x, mean, color=color, ls=style, label=name)
    axes.fill_between(x, least, largest, color=color, alpha=0.2, linewidth=0)


def bands(
    axes: Axes, x: Sequence[float], measured: Mapping[str, Float[Tensor, "x members"]], xlabel: str, ylabel: str
) -> None:
    """Draws several of them, by name."""
    for index, (name, values) in enumerate(measured.items()):
        band(axes, x, values, name, pictures.COLORS[index % 8], pictures.STYLES[index % 4])
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
