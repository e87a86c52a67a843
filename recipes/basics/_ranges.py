"""The ranges of activations: between which values each stays, in numbers and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..lesson import Lesson
from ..pictures import BLUE

FIGURES = {"sigmoid": "(0, 1)", "tanh": "(-1, 1)", "relu": "[0, inf)", "hardtanh": "[0, 10]"}
FAR, EDGE = 1000.0, 4.0  # an input at which a bounded activation is at its end; the ends of the picture


def ranges(lesson: Lesson, functions: Mapping[str, Callable[[Tensor], Tensor]]) -> Figure:
    """Shows the values of activations, all of which rise, at the ends of a wide interval; returns the picture."""
    ends, bounds = torch.tensor([-100.0, 100.0]), {}
    for name, f in functions.items():
        low, high = f(torch.tensor([-FAR, FAR])).tolist()
        bounds[name] = (low if low > -10 else float("-inf"), high if high < 10 else float("inf"))
        if name in FIGURES:
            lesson.show(f"{name}_range", f"{name} at -100 and 100, the ends of its range", f(ends), FIGURES[name])
    return picture(bounds)


def picture(bounds: Mapping[str, tuple[float, float]]) -> Figure:
    """A bar from the least to the largest value of each function; an arrow where there is no end."""
    figure = Figure(figsize=(7, 0.9 + 0.5 * len(bounds)), layout="constrained")
    axes = figure.subplots()
    for row, (low, high) in enumerate(bounds.values()):
        left, right = max(low, -EDGE), min(high, EDGE)
        axes.plot([left, right], [row, row], color=BLUE, linewidth=6, solid_capstyle="butt")
        if low < -EDGE:
            axes.plot(-EDGE, row, "<", color=BLUE, markersize=12)
        if high > EDGE:
            axes.plot(EDGE, row, ">", color=BLUE, markersize=12)
        written = f"{_number(low)} to {_number(high)}"
        axes.annotate(written, ((left + right) / 2, row), (0, 6), textcoords="offset points", ha="center", fontsize=9)
    axes.set_yticks(range(len(bounds)), list(bounds))
    axes.set(xlim=(-EDGE - 0.5, EDGE + 0.5), ylim=(len(bounds) - 0.5, -0.7), xlabel="value of the activation")
    axes.set_title("The values that each activation can take; an arrow has no end")
    axes.grid(axis="x", alpha=0.3)
    return figure


def _number(bound: float) -> str:
    return {float("inf"): "infinity", float("-inf"): "-infinity"}.get(bound, f"{bound:g}")
