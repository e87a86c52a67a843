"""Networks trained at once under `vmap`, each from a seed of its own: what holds on average, and what is chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

import funcdl as fd
from funcdl.optim import Transformation

from . import pictures


def each(optimizer: Transformation) -> Transformation:
    """Returns the optimizer for members whose parameters are stacked: each has a state of its own."""
    return Transformation(
        fd.vmap(optimizer.init), lambda grads, states, params, **_: fd.vmap(optimizer.update)(grads, states, params)
    )


def in_words(values: Float[Tensor, " members"], digits: int = 3) -> str:
    """Returns the mean of the members' values, and the least and the largest of them.

    >>> in_words(torch.tensor([1.0, 2.0, 6.0]))
    '3 (1 to 6)'
    """
    mean, low, high = (f"{value:.{digits}g}" for value in (values.mean(), values.min(), values.max()))
    return mean if len(values) == 1 else f"{mean} ({low} to {high})"


def band(axes: Axes, x: Sequence[float], values: Float[Tensor, "x members"], name: str, color: str, style: str) -> None:
    """Draws the mean of the members as a line, and from the least to the largest of them as a band."""
    members = values.numpy(force=True)
    axes.plot(x, members.mean(1), color=color, ls=style, label=name)
    axes.fill_between(x, members.min(1), members.max(1), color=color, alpha=0.2, linewidth=0)


def bands(
    axes: Axes, x: Sequence[float], measured: Mapping[str, Float[Tensor, "x members"]], xlabel: str, ylabel: str
) -> None:
    """Draws several of them, by name."""
    for index, (name, values) in enumerate(measured.items()):
        band(axes, x, values, name, pictures.COLORS[index % 8], pictures.STYLES[index % 4])
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
