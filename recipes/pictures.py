"""The pictures that recipes share, as matplotlib figures without global state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

import funcdl as fd
from funcdl.train.report import Row

from .terminal import escaped

BLUE, ORANGE, GRAY = "#0072B2", "#D55E00", "#999999"  # Okabe and Ito's colors, told apart by the color-blind
COLORS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", GRAY)  # for lines, with their styles
STYLES = ("-", "--", "-.", ":")
LONGEST = 24  # of a name in a picture
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
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(title)
    epochs = [row["epoch"] for row in rows]
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        measured = (name, "training", BLUE, "o-"), (f"{held_out}_{name}", HELD_OUT[held_out], ORANGE, "s--")
        for key, label, color, style in measured:
            if key in rows[0]:
                axes.plot(epochs, [row[key] for row in rows], style, color=color, label=label, markersize=4)
        if best is not None:
            axes.axvline(best, color=GRAY, linestyle=":", label=f"kept: epoch {best:g}")
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def digit_sheet(
    images: UInt8[Tensor, "n 1 28 28"],
    labels: Int[Tensor, " n"],
    probabilities: Float[Tensor, "n 10"],
    columns: int = 6,
) -> Figure:
    """Digits with the predicted and the true label, and the probabilities of all ten below; mistakes in orange."""
    count = len(images)
    rows = -(-count // columns)
    figure = Figure(figsize=(1.7 * columns, 2.3 * rows), layout="constrained")
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
    size = len(names)
    figure = Figure(figsize=(4 + 0.4 * size, 3 + 0.35 * size), layout="constrained")
    axes = figure.subplots()
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    image = axes.imshow(shares.numpy(force=True), cmap="Blues", vmin=0, vmax=1)
    for row in range(size):
        for column in range(size):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]:.0f}", ha="center", va="center", color=color, fontsize=9)
    axes.set(xlabel="predicted class", ylabel="true class", title=title, xticks=range(size), yticks=range(size))
    axes.set_xticklabels(list(map(label, names)))
    axes.set_yticklabels(list(map(label, names)))
    figure.colorbar(image, ax=axes, label="share of the true class")
    return figure


def comparison(measured: Mapping[str, Mapping[str, float]], title: str) -> Figure:
    """Several networks side by side: the accuracy of each on the test data, and what it costs."""
    figure = Figure(figsize=(11, 1.7 + 0.32 * len(measured)), layout="constrained")
    figure.suptitle(title)
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
            axes.margins(x=0.35)
            axes.set(xlim=axes.get_xlim(), xticks=[tick for tick in axes.get_xticks() if tick <= 1])
        else:
            axes.barh(names, values, color=BLUE, height=0.6)
            axes.margins(x=0.45)
            axes.set_xticks([])  # the numbers stand at the bars
        for name, value in zip(names, values, strict=True):
            axes.annotate(
                form.format(value), (value, name), (5, 0), textcoords="offset points", va="center", fontsize=7
            )
        axes.set(xlabel=label)
        axes.tick_params(axis="x", labelsize=7)
        axes.grid(alpha=0.3, axis="x")
    return figure


def loss_curves(history: Mapping[str, Sequence[float]], title: str, xlabel: str = "epoch") -> Figure:
    """The loss of several runs before each step, on a logarithmic axis."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    for index, (name, losses) in enumerate(history.items()):
        axes.plot(range(1, len(losses) + 1), losses, color=COLORS[index % 8], ls=STYLES[index % 4], label=name)
    axes.set(xlabel=xlabel, ylabel="loss", yscale="log", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def bands(
    curves: Mapping[str, Sequence[tuple[float, float, float]]], title: str, band: str, xlabel: str = "epoch"
) -> Figure:
    """The loss of several networks: the lowest, the mean and the highest of each epoch, on a logarithmic axis.

    Args:
        curves: the three numbers of each epoch, by name.
        title: of the picture.
        band: what the band spans, such as "lowest to highest of 10 networks".
        xlabel: what is counted.
    """
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    for index, (name, rows) in enumerate(curves.items()):
        epochs, (low, mean, high) = range(1, len(rows) + 1), zip(*rows, strict=True)
        color = COLORS[index % 8]
        axes.fill_between(epochs, low, high, color=color, alpha=0.2, linewidth=0, label=f"{name}: {band}")
        axes.plot(epochs, mean, color=color, ls=STYLES[index % 4], label=f"{name}: mean")
    axes.set(xlabel=xlabel, ylabel="loss", yscale="log", title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
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
    figure = Figure(figsize=(3.4 * columns, 0.6 + 2.6 * rows), layout="constrained")
    figure.suptitle(title)
    for axes, (name, f) in zip(figure.subplots(rows, columns, squeeze=False).flat, functions.items(), strict=False):
        points = x.numpy(force=True)
        axes.plot(points, f(x).numpy(force=True), color=BLUE, linewidth=2, label="f(x)")
        axes.plot(points, fd.vmap(fd.grad(f))(x).numpy(force=True), "--", color=ORANGE, label="derivative")
        axes.set_title(name, fontsize=10)
        axes.set(xlabel="x", ylabel="f(x) and its slope", ylim=(limits or {}).get(name))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return figure


def fitted(
    points: Mapping[str, tuple[Tensor, Tensor]],
    lines: Mapping[str, tuple[Tensor, Tensor]],
    title: str,
    xlabel: str = "x",
    ylabel: str = "y",
) -> Figure:
    """Points as they were measured, and over them the lines that were fitted; all by name."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    for index, (name, (x, y)) in enumerate(points.items()):
        marker, color = "osD^"[index % 4], (GRAY, COLORS[6], COLORS[4])[index % 3]
        axes.scatter(x.numpy(force=True), y.numpy(force=True), s=18, color=color, marker=marker, label=name)
    for index, (name, (x, y)) in enumerate(lines.items()):
        style = STYLES[index % 4]
        axes.plot(x.numpy(force=True), y.numpy(force=True), color=COLORS[index % 8], ls=style, label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
