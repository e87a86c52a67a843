"""The pictures that recipes share, as matplotlib figures without global state."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure
from torch import Tensor

from funcdl.train.report import Row

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"  # Okabe and Ito's colours, told apart by the colour-blind


def curves(rows: Sequence[Row], title: str) -> Figure:
    """Loss and accuracy by epoch, in training and on the test data."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(title)
    epochs = [row["epoch"] for row in rows]
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for key, label, colour, style in ((name, "training", BLUE, "o-"), (f"test_{name}", "test", ORANGE, "s--")):
            axes.plot(epochs, [row[key] for row in rows], style, color=colour, label=label, markersize=4)
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
        colour = BLUE if predicted == truth else ORANGE
        picture.imshow(images[index, 0].numpy(force=True), cmap="gray", vmin=0, vmax=255)
        percent = 100 * probabilities[index, predicted].item()
        picture.set_title(f"predicted {predicted} ({percent:.0f} %)\ntrue {truth}", color=colour, fontsize=9)
        bars.set_axis_on()
        colours = [colour if digit == predicted else GREY for digit in range(10)]
        bars.bar(range(10), probabilities[index].tolist(), color=colours)
        bars.set(ylim=(0, 1), yticks=[], xticks=range(10))
        bars.tick_params(labelsize=6, length=0)
        bars.spines[["top", "left", "right"]].set_visible(False)
    return figure
