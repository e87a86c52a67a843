"""Whether, and from which step on, networks overfit, by their mean losses on the training and the test data."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from .. import members, pictures
from ..axes import heading, legend_below, logarithmic, whole_numbers
from ..lesson import Lesson

FRAME = 400  # the step whose losses the lesson's picture shows
FIGURES = {"plain": "0.2902", "dropout": "0.2452"}


def show_losses(lesson: Lesson, remedy: str, description: str, history: Mapping[str, Tensor]) -> None:
    """The mean losses of the members at the end and at the lesson's step, the step of the least one, the diagnosis."""
    training, test = history["training"].mean(1), history["test"].mean(1)
    of = f"mean of {history['test'].shape[1]} networks"
    if len(test) >= FRAME:
        text = f"{description}: test loss in step {FRAME}, {of}"
        lesson.show(f"test_loss_{FRAME}_{remedy}", text, test[FRAME - 1], FIGURES.get(remedy, ""), 4)
    lesson.show(f"loss_{remedy}", f"{description}: training loss at the end, {of}", training[-1], "", 4)
    lesson.show(f"test_loss_{remedy}", f"{description}: test loss at the end, {of}", test[-1], "", 4)
    each = history["test"][-1].sort().values
    lesson.show(f"test_loss_each_{remedy}", f"{description}: test loss at the end of each network, sorted", each, "", 3)
    best = int(test.argmin()) + 1
    lesson.show(f"best_epoch_{remedy}", f"{description}: step with the least mean test loss", best)
    lesson.show(f"best_test_loss_{remedy}", f"{description}: mean test loss in that step", test.min(), "", 4)
    lesson.show(f"diagnosis_{remedy}", f"{description}: diagnosis by the mean losses", diagnosis(training, test))


def diagnosis(training: Float[Tensor, " steps"], test: Float[Tensor, " steps"]) -> str:
    """The diagnosis by the book's rules of thumb."""
    if training[-1] > 0.9 * training[0]:
        return "not learning: the model is too small, or the data tells nothing"
    window = max(1, len(test) // 20)  # single losses jump about
    smooth_training, smooth_test = (losses.unfold(0, window, 1).mean(1) for losses in (training, test))
    turn = int(smooth_test.argmin())
    if smooth_test[-1] > 1.05 * smooth_test[turn] and smooth_training[-1] < smooth_training[turn]:
        return f"learning, and overfitting from about step {turn + window // 2 + 1}"
    return "learning, and not overfitting"


def compare(lesson: Lesson, histories: Mapping[str, Mapping[str, Tensor]]) -> None:
    """How much lower than with no remedy the networks end, and how many of them do; pairs have the same data."""
    if "plain" not in histories:
        return
    plain = histories["plain"]["test"][-1]
    for remedy in [name for name in histories if name != "plain"]:
        gain = plain - histories[remedy]["test"][-1]
        text = f"{remedy}: how much lower its test loss ends than with no remedy, mean of the pairs"
        lesson.show(f"gain_{remedy}", text, gain.mean(), "0.2902 - 0.2452" if remedy == "dropout" else "", 3)
        text = f"{remedy}: pairs of networks, of {len(gain)}, in which it ends lower"
        lesson.show(f"better_{remedy}", text, int((gain > 0).sum()))
    lesson.remark(
        "A single pair of networks may say the opposite, by the chance of its start and of its points. "
        "The mean of several, and how many of them agree, tell the remedy from chance."
    )


def training_and_test(histories: Mapping[str, Mapping[str, Tensor]]) -> Figure:
    """The losses on both sets by step, a panel for each remedy: means, bands, and the least test loss marked."""
    figure = Figure(figsize=(1 + 3 * len(histories), 4.2), layout="constrained")
    heading(figure, "Training and test loss by step; where the test loss is least (dotted), overfitting begins")
    panels = figure.subplots(1, len(histories), sharey=True, squeeze=False)[0]
    for axes, (remedy, history) in zip(panels, histories.items(), strict=True):
        steps = range(1, len(history["test"]) + 1)
        members.band(axes, steps, history["training"], "training", pictures.BLUE, "-")
        members.band(axes, steps, history["test"], "test", pictures.ORANGE, "--")
        least = int(history["test"].mean(1).argmin()) + 1
        axes.axvline(least, color=pictures.GRAY, ls=":")
        axes.set_title(f"{remedy}: least at {least}")
        logarithmic(axes)
        axes.set_ylim(bottom=0.005)
        whole_numbers(axes, "step", len(steps))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("mean squared error")
    legend_below(figure)
    return figure
