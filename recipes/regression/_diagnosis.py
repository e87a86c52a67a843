"""Whether, and from which step on, a network overfits, by its losses on the training and the test data."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure
from torch import Tensor

from .. import pictures
from ..axes import heading, legend_below, logarithmic, whole_numbers
from ..lesson import Lesson

FRAME = 400  # the step whose losses the lesson's picture shows


def show_losses(lesson: Lesson, remedy: str, description: str, history: Mapping[str, Tensor]) -> None:
    """The losses at the end and at the step that the lesson shows, and the step of the least test loss."""
    test = history["test_loss"]
    figures = {"plain": "0.2902", "dropout": "0.2452"}
    if len(test) >= FRAME:
        lesson.show(
            f"test_loss_{FRAME}_{remedy}",
            f"{description}: test loss in step {FRAME}",
            test[FRAME - 1],
            figures.get(remedy, ""),
        )
    lesson.show(f"loss_{remedy}", f"{description}: training loss at the end", history["training"][-1])
    lesson.show(f"test_loss_{remedy}", f"{description}: test loss at the end", test[-1])
    lesson.show(f"best_epoch_{remedy}", f"{description}: step of the least test loss", int(test.argmin()) + 1)
    lesson.show(f"best_test_loss_{remedy}", f"{description}: least test loss", test.min())
    lesson.show(f"diagnosis_{remedy}", f"{description}: so it is", diagnosis(history["training"], test))


def diagnosis(training: Tensor, test: Tensor) -> str:
    """The diagnosis by the book's rules of thumb."""
    if training[-1] > 0.9 * training[0]:
        return "not learning: too small a model, or data that says nothing"
    window = max(1, len(test) // 20)  # single losses jump about
    smooth_training, smooth_test = (losses.unfold(0, window, 1).mean(1) for losses in (training, test))
    turn = int(smooth_test.argmin())
    if smooth_test[-1] > 1.05 * smooth_test[turn] and smooth_training[-1] < smooth_training[turn]:
        return f"over-fitting from about step {turn + window // 2 + 1}"
    return "learning"


def training_and_test(histories: Mapping[str, Mapping[str, Tensor]]) -> Figure:
    """The losses on both sets by step, a panel for each remedy, with the least test loss marked."""
    figure = Figure(figsize=(1 + 3 * len(histories), 4), layout="constrained")
    heading(figure, "Loss on training and test data by step; the dot is the least test loss, after which it over-fits")
    panels = figure.subplots(1, len(histories), sharey=True, squeeze=False)[0]
    for axes, (remedy, history) in zip(panels, histories.items(), strict=True):
        steps, test = range(1, len(history["test_loss"]) + 1), history["test_loss"].tolist()
        axes.plot(steps, history["training"].tolist(), color=pictures.BLUE, label="training")
        axes.plot(steps, test, color=pictures.ORANGE, ls="--", label="test")
        least = min(steps, key=lambda step: test[step - 1])
        axes.axvline(least, color=pictures.GRAY, ls=":")
        axes.plot(least, test[least - 1], "o", color=pictures.ORANGE)
        axes.set_title(f"{remedy}: least at {least}")
        logarithmic(axes)
        whole_numbers(axes, "step", len(steps))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("mean squared error")
    legend_below(figure)
    return figure
