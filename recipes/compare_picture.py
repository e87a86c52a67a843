"""The picture of `funcdl compare`: the curves of several runs, or where they have none their results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from funcdl.train.report import Row

from .pictures import BLUE, COLORS, STYLES, label

PANELS = 6

Results = Mapping[str, Sequence[Any]]  # by name, of each run


def draw(rows: Mapping[str, Sequence[Row]], results: Results, differing: Results) -> Figure | None:
    """Draws what all runs have measured by epoch, or else their numbers; returns None where there are neither.

    Args:
        rows: of each run, by its name.
        results: what the runs have in common.
        differing: the values of the flags that are not the same in all of them, of which the first two are written.
    """
    by = f", which differ in {' and '.join(list(differing)[:2])}" if differing else ""
    runs = list(map(label, rows))
    for flag, values in list(differing.items())[:2]:
        runs = [f"{run}, {label(f'{flag} {value}')}" for run, value in zip(runs, values, strict=True)]
    histories = list(rows.values())
    if all(histories):
        names = [name for name in histories[0][0] if name not in ("epoch", "seconds")]
        curves = [name for name in names if all(name in row for history in histories for row in history)]
        if curves:
            return _draw_curves(runs, histories, curves[:PANELS], f"{len(rows)} runs by epoch{by}")
    numbers = [name for name, values in results.items() if all(map(_is_number, values))]
    shown = ([name for name in numbers if len(set(results[name])) > 1] or numbers)[:PANELS]
    return _draw_numbers(runs, {name: results[name] for name in shown}, f"{len(rows)} runs{by}") if shown else None


def _draw_curves(runs: Sequence[str], histories: Sequence[Sequence[Row]], names: Sequence[str], title: str) -> Figure:
    figure, grid = _panels(len(names), title, 3.0)
    for axes, name in zip(grid, names, strict=True):
        for index, (run, rows) in enumerate(zip(runs, histories, strict=True)):
            epochs, values = ([row[key] for row in rows] for key in ("epoch", name))
            style = {"color": COLORS[index % 8], "linestyle": STYLES[index // 8 % 4]}
            axes.plot(epochs, values, **style, marker="o", markersize=3, label=run)
        axes.set(xlabel="epoch", ylabel=label(name))
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.grid(alpha=0.3)
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    return figure


def _draw_numbers(runs: Sequence[str], results: Results, title: str) -> Figure:
    figure, grid = _panels(len(results), title, 0.9 + 0.3 * len(runs))
    for axes, (name, values) in zip(grid, results.items(), strict=True):
        axes.plot(values, range(len(runs)), "o", color=BLUE)
        axes.set(xlabel=label(name), yticks=range(len(runs)), ylim=(len(runs) - 0.5, -0.5))  # the first on top
        axes.set_yticklabels(runs)
        axes.xaxis.get_major_locator().set_params(nbins=4)
        axes.margins(x=0.15)
        axes.grid(alpha=0.3)
    return figure


def _panels(count: int, title: str, height: float) -> tuple[Figure, list[Any]]:
    columns = min(count, 2)
    rows = -(-count // columns)
    figure = Figure(figsize=(max(6.4, 5 * columns), 1.0 + height * rows), layout="constrained")
    figure.suptitle(title, wrap=True)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[count:]:
        axes.set_axis_off()
    return figure, grid[:count]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
