"""The pictures that recipes share, as matplotlib figures without global state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure
from torch import Tensor

import funcdl as fd
from funcdl.train.report import Row

from .axes import heading, legend_below, logarithmic, whole_numbers
from .terminal import escaped

BLUE, ORANGE, GRAY = "#0072B2", "#D55E00", "#999999"  # Okabe and Ito's colors, told apart by the color-blind
COLORS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", GRAY)  # for lines, with their styles
STYLES = ("-", "--", "-.", ":")
LONGEST = 24  # of a name in a picture
POINTS = 400  # of a curve
FIRST_READ = "The first test digits, what the network reads, and how probable it finds 0 to 9"
HELD_OUT = {"test": "test", "val": "validation"}


def label(text: str) -> str:
    r"""Returns a name as matplotlib is to write it: a dollar begins no formula, and what is very long is cut.

    >>> print(label("$5\x1b[2J"), label("a" * 100))
    \$5\x1b[2J aaaaaaaaaaaaaaaaaaaaaaa…
    """
    text = escaped(text[: LONGEST + 1])
    return (text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…").replace("$", r"\$")


def curves(rows: Sequence[Row], title: str, held_out: str = "test", best: float | None = None) -> Figure:
    """Loss and accuracy by epoch, in training and on the data held out ("test" or "val"), where there is any.

    `best` is an epoch to mark, such as the one before over-fitting.
    """
    names = [name for name in ("loss", "accuracy") if name in rows[0] or f"{held_out}_{name}" in rows[0]]
    figure = Figure(figsize=(1 + 4 * len(names), 3.8), layout="constrained")
    heading(figure, f"{title}: {' and '.join(names)} after each epoch")
    epochs = [row["epoch"] for row in rows]
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        measured = (name, "training", BLUE, "o-"), (f"{held_out}_{name}", HELD_OUT[held_out], ORANGE, "s--")
        for key, label, color, style in measured:
            if key in rows[0]:
                axes.plot(epochs, [row[key] for row in rows], style, color=color, label=label, markersize=4)
        if best is not None:
            axes.axvline(best, color=GRAY, linestyle=":", label=f"kept: epoch {best:g}")
        axes.set_ylabel(name)
        axes.ticklabel_format(axis="y", useOffset=False)
        whole_numbers(axes, "epoch", len(rows))
        axes.grid(alpha=0.3)
    legend_below(figure)
    return figure


def digit_sheet(
    images: UInt8[Tensor, "n 1 28 28"],
    labels: Int[Tensor, " n"],
    probabilities: Float[Tensor, "n 10"],
    title: str,
    columns: int = 6,
) -> Figure:
    """Digits with the predicted and the true label, and the probabilities of all ten below; mistakes in orange."""
    count = len(images)
    rows = -(-count // columns)
    figure = Figure(figsize=(1.7 * columns, 0.5 + 2.3 * rows), layout="constrained")
    heading(figure, title)
    grid = figure.subplots(2 * rows, columns, height_ratios=[3, 1] * rows, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for index in range(count):
        picture, bars = grid[2 * (index // columns) : 2 * (index // columns) + 2, index % columns]
        predicted, truth = int(probabilities[index].argmax()), int(labels[index])
        color = BLUE if predicted == truth else ORANGE
        picture.imshow(images[index, 0].numpy(force=True), cmap="gray", vmin=0, vmax=255)
        percent = 100 * probabilities[index, predicted].item()
        picture.set_title(f"predicted {predicted} ({percent:.0f} %)\ntrue {truth}", color=color, fontsize=9)
        bars.set_axis_on()
        colors = [color if digit == predicted else GRAY for digit in range(10)]
        bars.bar(range(10), probabilities[index].tolist(), color=colors)
        bars.set(ylim=(0, 1), yticks=[], xticks=range(10))
        bars.tick_params(labelsize=6, length=0)
        bars.spines[["top", "left", "right"]].set_visible(False)
    return figure


def confusion(counts: Float[Tensor, "classes classes"], names: Sequence[str], title: str) -> Figure:
    """How often each class (row) is taken for each (column): the numbers, and in blue the share of the row."""
    size, names = len(names), list(map(label, names))
    longest = max(map(len, names))
    upright = size > 2 and longest > 5  # names below one another fit into any width of cells
    name = 0.09 * longest  # inches
    width, height = (0.55 if upright else max(0.55, name + 0.2)) * size, max(1.8, 0.5 * size)
    figure = Figure(figsize=(max(6.5, width + name + 2.2), height + 1.6 + upright * name), layout="constrained")
    heading(figure, title)
    axes = figure.subplots()
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    image = axes.imshow(shares.numpy(force=True), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row in range(size):
        for column in range(size):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]:.0f}", ha="center", va="center", color=color, fontsize=9)
    axes.set(xlabel="predicted class", ylabel="true class", xticks=range(size), yticks=range(size))
    axes.set_xticklabels(names, rotation=90 if upright else 0)
    axes.set_yticklabels(names)
    figure.colorbar(image, ax=axes, label="share of the true class")
    return figure


def comparison(measured: Mapping[str, Mapping[str, float]], title: str) -> Figure:
    """Several networks side by side: the accuracy of each on the test data, and what it costs."""
    figure = Figure(figsize=(11, 1.7 + 0.32 * len(measured)), layout="constrained")
    heading(figure, f"{title}: what each network reaches, and what it costs")
    names = list(measured)[::-1]  # the first on top
    panels = (
        ("test_accuracy", "test accuracy", "{:.2%}"),
        ("parameters", "parameters", "{:,.0f}"),
        ("multiply_adds", "multiply-adds per image", "{:,.0f}"),
        ("seconds", "training time in s", "{:.1f}"),
    )
    for axes, (key, label, form) in zip(figure.subplots(1, 4, sharey=True), panels, strict=True):
        values = [measured[name][key] for name in names]
        if key == "test_accuracy":
            axes.plot(values, names, "o", color=ORANGE)  # bars would have to begin at 0
            room = max(max(values) - min(values), 0.01)
            axes.set_xlim(min(values) - 0.2 * room, max(values) + 0.9 * room)  # for the numbers at the dots
        else:
            axes.barh(names, values, color=BLUE, height=0.6)
            axes.set_xlim(0, 1.9 * max(*values, 1e-9))
        axes.set_xticks([])  # the numbers stand at the dots and the bars
        for name, value in zip(names, values, strict=True):
            axes.annotate(
                form.format(value), (value, name), (5, 0), textcoords="offset points", va="center", fontsize=7
            )
        axes.set_xlabel(label)
    return figure


def loss_curves(history: Mapping[str, Sequence[float]], title: str, xlabel: str = "epoch") -> Figure:
    """The loss of several runs before each step, on a logarithmic axis.

    Of a long run the curve is the mean of some steps, and behind it is drawn from where to where the loss jumps.
    """
    figure = Figure(figsize=(6.8, 4.4), layout="constrained")
    heading(figure, f"{title}: the loss by {xlabel}")
    axes = figure.subplots()
    longest = max(map(len, history.values()))
    together = -(-longest // POINTS)
    for index, (name, losses) in enumerate(history.items()):
        style: dict[str, Any] = {
            "color": COLORS[index % 8],
            "ls": STYLES[index % 4],
            "marker": "o" if longest == 1 else "",
        }
        groups = torch.tensor(losses, dtype=torch.float64).split(together)
        steps = [1 + together * number + (len(group) - 1) / 2 for number, group in enumerate(groups)]
        least, mean, greatest = zip(*[(group.min(), group.mean(), group.max()) for group in groups], strict=True)
        axes.plot(steps, mean, label=name, **style)
        if together > 1:
            axes.fill_between(steps, least, greatest, color=COLORS[index % 8], alpha=0.3, linewidth=0)
    if together > 1:
        axes.fill_between([], [], [], color=GRAY, alpha=0.5, label=f"least to greatest of {together} {xlabel}s")
    axes.set_ylabel("loss")
    logarithmic(axes)
    whole_numbers(axes, xlabel, longest)
    axes.grid(alpha=0.3)
    legend_below(figure)
    return figure


def derivatives(
    functions: Mapping[str, Callable[[Tensor], Tensor]],
    x: Float[Tensor, " n"],
    title: str,
    limits: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:
    """Functions of a number, each in axes of its own with its derivative; `limits` are those of the values shown."""
    rows = 1 if len(functions) < 4 else 2
    columns = -(-len(functions) // rows)
    figure = Figure(figsize=(1 + 3.4 * columns, 0.9 + 2.6 * rows), layout="constrained")
    heading(figure, title)
    dense = torch.linspace(x.min().item(), x.max().item(), 2001, device=x.device)  # steps are drawn upright
    points = dense.numpy(force=True)
    for axes, (name, f) in zip(figure.subplots(rows, columns, squeeze=False).flat, functions.items(), strict=False):
        axes.plot(points, f(dense).numpy(force=True), color=BLUE, linewidth=2, label="f(x)")
        axes.plot(points, fd.vmap(fd.grad(f))(dense).numpy(force=True), "--", color=ORANGE, label="derivative f'(x)")
        axes.set_title(name, fontsize=10)
        axes.set(xlabel="x", ylabel="f(x) and f'(x)", ylim=(limits or {}).get(name))
        axes.grid(alpha=0.3)
    legend_below(figure)
    return figure


def fitted(
    points: Mapping[str, tuple[Tensor, Tensor]],
    lines: Mapping[str, tuple[Tensor, Tensor]],
    title: str,
    xlabel: str = "x",
    ylabel: str = "y",
) -> Figure:
    """Points as they were measured, and over them the lines that were fitted; all by name."""
    figure = Figure(figsize=(6.8, 4.6), layout="constrained")
    heading(figure, title)
    axes = figure.subplots()
    for index, (name, (x, y)) in enumerate(points.items()):
        marker, color = "osD^"[index % 4], (GRAY, COLORS[6], COLORS[4])[index % 3]
        axes.scatter(x.numpy(force=True), y.numpy(force=True), s=18, color=color, marker=marker, label=name)
    for index, (name, (x, y)) in enumerate(lines.items()):
        style = STYLES[index % 4]
        axes.plot(x.numpy(force=True), y.numpy(force=True), color=COLORS[index % 8], ls=style, label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(alpha=0.3)
    legend_below(figure)
    return figure
