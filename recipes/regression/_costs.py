"""Pictures of the cost of a line: a curve over w, a surface over w and b, and a descent."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

import funcdl as fd

from ..axes import heading, legend_below, logarithmic, whole_numbers
from ..pictures import BLUE, GRAY, ORANGE

FARTHEST = 100.0  # w from its optimum, in the picture of a descent


def curve(w: Float[Tensor, " n"], costs: Float[Tensor, " n"]) -> Figure:
    """The cost by w, with its minimum marked."""
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    heading(figure, "The mean squared error of y = w x, by w")
    axes = figure.subplots()
    axes.plot(w.tolist(), costs.tolist(), ".-", color=BLUE)
    least = int(costs.argmin())
    axes.plot(w[least].item(), costs[least].item(), "D", color=ORANGE, label=f"least cost, at w = {w[least]:.1f}")
    axes.set(xlabel="w", ylabel="mean squared error")
    axes.grid(alpha=0.3)
    legend_below(figure)
    return figure


def surface(*drawn: Tensor) -> Figure:
    """The surface from the side and from above, with the descent: `drawn` are w, b, costs, the path and its costs."""
    w, b, costs, path, heights = (leaf.numpy(force=True) for leaf in drawn)
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    heading(figure, "The mean squared error of y = w x + b, and a descent to its lowest point")
    side = figure.add_subplot(1, 2, 1, projection="3d", computed_zorder=False)
    side.plot_surface(w, b, costs, cmap="cividis", alpha=0.8, zorder=1)
    side.plot(path[:, 0], path[:, 1], heights, ".-", color=ORANGE, markersize=4, zorder=2)
    side.set(xlabel="w", ylabel="b", title="mean squared error")
    above = figure.add_subplot(1, 2, 2)
    filled = above.contourf(w, b, costs, levels=[0, 0.1, 0.3, 1, 3, 10, 30, 100], norm="symlog", cmap="cividis")
    above.plot(path[:, 0], path[:, 1], ".-", color=ORANGE, markersize=5, label=f"descent, {len(path) - 1} updates")
    above.plot(2, 0, "D", color="white", markeredgecolor=GRAY, label="lowest point")
    above.set(xlabel="w", ylabel="b", xlim=(w.min(), w.max()), ylim=(b.min(), b.max()))
    figure.colorbar(filled, ax=above, label="mean squared error")
    legend_below(figure)
    return figure


def descent(cost: Callable[[Tensor], Tensor], path: Float[Tensor, " steps"], title: str) -> Figure:
    """A descent on the cost of one parameter: its path on the cost curve (the first steps), and the cost by step."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    heading(figure, f"Descent on the mean squared error of y = w x, {title}")
    curve_axes, loss_axes = figure.subplots(1, 2)
    far = ((path - 2).abs() > FARTHEST).nonzero().flatten().tolist()
    first = path[: max(2, far[0] if far else len(path))]
    reach = max(2.0, 1.1 * (first - 2).abs().max().item())
    w = torch.linspace(2 - reach, 2 + reach, 201, dtype=path.dtype, device=path.device)
    costs = fd.vmap(cost)
    curve_axes.plot(w.tolist(), costs(w).tolist(), color=GRAY, label="cost")
    curve_axes.plot(first.tolist(), costs(first).tolist(), "o-", color=ORANGE, markersize=4, label="descent")
    curve_axes.set(
        xlabel="w",
        ylabel="mean squared error",
        title=f"the {'first ' * (len(first) < len(path))}{len(first)} values of w",
    )
    losses = costs(path)
    finite = (losses > 0) & (losses < 1e200)  # a logarithmic axis has no others
    loss_axes.plot(finite.nonzero().flatten().tolist(), losses[finite].tolist(), color=BLUE)
    loss_axes.set(ylabel="mean squared error", title="after each update")
    logarithmic(loss_axes)
    whole_numbers(loss_axes, "updates", len(path))
    for axes in (curve_axes, loss_axes):
        axes.grid(alpha=0.3)
    legend_below(figure)
    return figure
