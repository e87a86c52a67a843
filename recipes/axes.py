"""Axes of pictures: numbers in full, epochs without fractions, and legends that cover nothing."""

from __future__ import annotations

import math
import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, MaxNLocator

LETTER = 0.093  # inches of width, at most, in a heading
CHARACTER = 0.085  # inches of width, at most, in a legend
KEY = 0.6  # inches of the line beside a name, and the gap after it


class PlainLogarithm(LogFormatterSciNotation):
    """Labels a logarithmic axis by 0.5 or 3e-08, where matplotlib would write 5 times a power of ten."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The text of a tick, empty where there is no room for it."""
        return f"{x:g}" if super().__call__(x, pos) else ""


def logarithmic(axes: Axes) -> None:
    """Makes the vertical axis logarithmic, with numbers that are written in full."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(PlainLogarithm())
    axes.yaxis.set_minor_formatter(PlainLogarithm(minor_thresholds=(1, 0.5)))


def whole_numbers(axes: Axes, name: str, count: int) -> None:
    """Names what is counted along the horizontal axis, such as epochs; its ticks are whole numbers."""
    axes.set_xlabel(name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if count == 1:  # alone, in the middle
        axes.set_xlim(0.5, 1.5)


def heading(figure: Figure, text: str) -> None:
    """Writes what to see in a picture above it, in as many lines as its width needs."""
    figure.suptitle(textwrap.fill(text, int(figure.get_figwidth() / LETTER)))


def legend_below(figure: Figure) -> None:
    """Explains all that is drawn and has a name, each name once, below the axes."""
    named: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(name, handle)
    if named:
        width = KEY + CHARACTER * max(map(len, named))
        columns = max(1, min(len(named), int(figure.get_figwidth() / width)))
        columns = math.ceil(len(named) / math.ceil(len(named) / columns))  # rows of the same length
        figure.legend(list(named.values()), list(named), loc="outside lower center", ncols=columns, fontsize=9)
