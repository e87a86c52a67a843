"""The points that the first lines are fitted to, the lecture's three and noisy ones, and the picture of a descent."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from funcdl import random

from ..pictures import BLUE, GREY, ORANGE

SHOWN = 100.0  # how far from the least cost the path is drawn


def points(
    dtype: torch.dtype = torch.float64, device: torch.device | None = None
) -> tuple[Float[Tensor, 3], Float[Tensor, 3]]:
    """Returns x = 1, 2, 3 hours and y = 2, 4, 6 points, as y = 2 x has them.

    >>> points(torch.float32)
    (tensor([1., 2., 3.]), tensor([2., 4., 6.]))
    """
    x = torch.tensor([1.0, 2.0, 3.0], dtype=dtype, device=device)
    return x, 2 * x


def lecture_line(device: torch.device) -> tuple[Float[Tensor, "3 1"], Float[Tensor, "3 1"]]:
    """Returns the same points as a linear layer takes them, each a row."""
    x, y = points(torch.float32, device)
    return x[:, None], y[:, None]


def noisy_line(key: Tensor) -> tuple[Float[Tensor, "256 1"], Float[Tensor, "256 1"]]:
    """Returns the handbook's x, uniform in [0, 1), and y = 5 x + 7 with normal noise of deviation 0.25."""
    x_key, noise_key = random.split(key).unbind()
    x = random.uniform(x_key, (256, 1))
    return x, 5 * x + 7 + random.normal(noise_key, (256, 1), std=0.25)


def descent(cost: Callable[[Tensor], Tensor], path: Float[Tensor, " steps"], title: str) -> Figure:
    """A descent on the cost of one parameter: its path on the cost curve (the first steps), and the cost by step."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    figure.suptitle(title)
    curve_axes, loss_axes = figure.subplots(1, 2)
    far = ((path - 2).abs() > SHOWN).nonzero().flatten().tolist()
    first = path[: max(2, far[0] if far else len(path))]
    reach = max(2.0, 1.1 * (first - 2).abs().max().item())
    w = torch.linspace(2 - reach, 2 + reach, 201, dtype=path.dtype, device=path.device)
    costs = torch.func.vmap(cost)
    curve_axes.plot(w.tolist(), costs(w).tolist(), color=GREY, label="cost")
    curve_axes.plot(first.tolist(), costs(first).tolist(), "o-", color=ORANGE, markersize=4, label="descent")
    curve_axes.set(
        xlabel="w",
        ylabel="mean squared error",
        title=f"the {'first ' * (len(first) < len(path))}{len(first)} values of w",
    )
    losses = costs(path)
    seen = (losses > 0) & (losses < 1e200)  # what a logarithmic axis can show
    loss_axes.plot(seen.nonzero().flatten().tolist(), losses[seen].tolist(), color=BLUE)
    loss_axes.set(xlabel="updates", ylabel="mean squared error", yscale="log", title="after each update")
    for axes in (curve_axes, loss_axes):
        axes.grid(alpha=0.3)
    curve_axes.legend(fontsize=8)
    return figure
