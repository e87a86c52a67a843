"""What the curves of the loss in training and in the test say: whether, and from when on, a network over-fits."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure
from torch import Tensor

from .. import pictures
from ..lesson import Lesson

FRAME = 400  # the step whose losses the lesson's picture shows


def show(lesson: Lesson, way: str, what: str, history: Mapping[str, Tensor]) -> None:
    """The losses at the end and at the lesson's frame, and when the test loss was least."""
    test = history["test_loss"]
    figures = {"plain": "0.2902", "dropout": "0.2452"}
    if len(test) >= FRAME:
        lesson.show(
            f"test_loss_{FRAME}_{way}", f"{what}: test loss in step {FRAME}", test[FRAME - 1], figures.get(way, "")
        )
    lesson.show(f"loss_{way}", f"{what}: training loss at the end", history["training"][-1])
    lesson.show(f"test_loss_{way}", f"{what}: test loss at the end", test[-1])
    lesson.show(f"best_epoch_{way}", f"{what}: step of the least test loss", int(test.argmin()) + 1)
    lesson.show(f"best_test_loss_{way}", f"{what}: least test loss", test.min())
    lesson.show(f"diagnosis_{way}", f"{what}: so it is", diagnosis(history["training"], test))


def diagnosis(training: Tensor, test: Tensor) -> str:
    """What the two curves say: the rules of thumb of the book."""
    if training[-1] > 0.9 * training[0]:
        return "not learning: too small a model, or data that says nothing"
    window = max(1, len(test) // 20)  # single losses jump about
    smooth_training, smooth_test = (losses.unfold(0, window, 1).mean(1) for losses in (training, test))
    turn = int(smooth_test.argmin())
    if smooth_test[-1] > 1.05 * smooth_test[turn] and smooth_training[-1] < smooth_training[turn]:
        return f"over-fitting from about step {turn + window // 2 + 1}"
    return "learning"


def training_and_test(courses: Mapping[str, Mapping[str, Tensor]]) -> Figure:
    """The losses on both sets by step, a panel for each way, with the least test loss marked."""
    figure = Figure(figsize=(1 + 3 * len(courses), 3.4), layout="constrained")
    panels = figure.subplots(1, len(courses), sharey=True, squeeze=False)[0]
    for axes, (way, history) in zip(panels, courses.items(), strict=True):
        steps, test = range(1, len(history["test_loss"]) + 1), history["test_loss"].tolist()
        axes.plot(steps, history["training"].tolist(), color=pictures.BLUE, label="training")
        axes.plot(steps, test, color=pictures.ORANGE, ls="--", label="test")
        least = min(steps, key=lambda step: test[step - 1])
        axes.axvline(least, color=pictures.GREY, ls=":")
        axes.plot(least, test[least - 1], "o", color=pictures.ORANGE)
        axes.set(title=f"{way}: least at {least}", xlabel="step", yscale="log")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("mean squared error")
    panels[0].legend(fontsize=8)
    return figure
