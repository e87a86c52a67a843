"""The picture of the probability to pass an exam."""

from __future__ import annotations

from collections.abc import Callable

import torch
from matplotlib.figure import Figure
from torch import Tensor

from .. import pictures
from ..axes import heading, legend_below


def picture(hours: Tensor, passed: Tensor, model: Callable[[Tensor], Tensor], boundary: float | None) -> Figure:
    """The probability to pass by the hours of study, the three students, and where it is one half."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    heading(figure, "The probability to pass the exam, by the hours of study")
    axes = figure.subplots()
    line = torch.linspace(0, 10, 200, device=hours.device).unsqueeze(1)
    axes.plot(
        line.flatten().tolist(), model(line).flatten().tolist(), color=pictures.BLUE, label="sigmoid(w hours + b)"
    )
    axes.plot(hours.flatten().tolist(), passed.flatten().tolist(), "o", color=pictures.ORANGE, label="students")
    axes.axhline(0.5, color=pictures.GRAY, linestyle=":")
    if boundary is not None:
        axes.axvline(boundary, color=pictures.GRAY, linestyle="--", label=f"one half at {boundary:.2f} h")
    axes.set(xlabel="study (hours a week)", ylabel="probability to pass")
    axes.grid(alpha=0.3)
    legend_below(figure)
    return figure
