"""Pictures of the cost of a line: a curve over w, and a surface over w and b."""

from __future__ import annotations

from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from ..pictures import BLUE, GREY, ORANGE


def curve(w: Float[Tensor, " n"], costs: Float[Tensor, " n"]) -> Figure:
    """The cost by w, with the least of it marked."""
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.plot(w.tolist(), costs.tolist(), ".-", color=BLUE)
    least = int(costs.argmin())
    axes.plot(w[least].item(), costs[least].item(), "D", color=ORANGE, label=f"least cost, at w = {w[least]:.1f}")
    axes.set(xlabel="w", ylabel="mean squared error", title="cost of y = w x")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def surface(*drawn: Tensor) -> Figure:
    """The surface from the side and from above, with the descent on both: w, b, costs, path and its costs."""
    w, b, costs, path, heights = (leaf.numpy(force=True) for leaf in drawn)
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    figure.suptitle("cost of y = w x + b, and a descent on it")
    side = figure.add_subplot(1, 2, 1, projection="3d", computed_zorder=False)
    side.plot_surface(w, b, costs, cmap="cividis", alpha=0.8, zorder=1)
    side.plot(path[:, 0], path[:, 1], heights, ".-", color=ORANGE, markersize=4, zorder=2)
    side.set(xlabel="w", ylabel="b", title="mean squared error")
    above = figure.add_subplot(1, 2, 2)
    filled = above.contourf(w, b, costs, levels=[0, 0.1, 0.3, 1, 3, 10, 30, 100], norm="symlog", cmap="cividis")
    above.plot(path[:, 0], path[:, 1], ".-", color=ORANGE, markersize=5, label=f"descent, {len(path) - 1} updates")
    above.plot(2, 0, "D", color="white", markeredgecolor=GREY, label="lowest point")
    above.set(xlabel="w", ylabel="b", xlim=(w.min(), w.max()), ylim=(b.min(), b.max()))
    above.legend(fontsize=8)
    figure.colorbar(filled, ax=above, label="mean squared error")
    return figure
