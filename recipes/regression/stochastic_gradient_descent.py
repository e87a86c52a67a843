"""Stochastic gradient descent: an update after every sample, or after every mini-batch."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import funcdl as fd
from funcdl import data, optim, train

from .. import settings
from ..lesson import Lesson
from ..minimization import Minimizer, minimizer
from ..settings import Outcome, SettingsError, at_least
from ._costs import descent
from ._points import points

START = 1.0


@dataclass(frozen=True, kw_only=True)
class Settings(settings.OptimizationSettings):
    """Fit y = w x to (1, 2), (2, 4), (3, 6) by an update after each sample, in this order, beginning at w = 1.

    Each update follows the gradient of one sample's squared error: three updates in an epoch where gradient descent
    makes one, but each must wait for the one before. `--batch-size 2` or 3 takes the mean over so many samples: fewer
    updates, which scatter less and whose samples can be computed side by side. The lecture prints the loss of the last
    sample after its update.
    """

    epochs: int | None = None
    """Passes through the three points; 100."""
    batch_size: int = 1
    """Samples per update, 1 to 3."""
    lr: float = 0.01
    """Learning rate."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""
        super().check()
        at_least(1, batch_size=self.batch_size)
        if self.batch_size > 3:
            raise SettingsError(f"--batch-size {self.batch_size}: must be at most 3, the samples to train on")


def loss(w: Tensor, x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """The mean squared error over a batch; rows of weight 0 pad a short one."""
    return (weights * (x * w - y) ** 2).sum() / weights.sum()


def by_hand(w: Tensor, x: Tensor, y: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The loss, and its derivative 2 x (x w - y) by the chain rule."""
    return loss(w, x, y, weights), (weights * (2 * x * (x * w - y))).sum() / weights.sum()


def run(settings: Settings, report: train.Report) -> Outcome:
    """Descends sample by sample with the gradient by hand and by `funcdl.grad`, and compares batch sizes."""
    epochs, lesson = settings.epochs or 100, Lesson()
    minimize = minimizer(settings, report, epochs)
    x, y = points(device=minimize.device)
    start = torch.tensor(START, dtype=x.dtype, device=minimize.device)
    batches = _batches(x, y, settings.batch_size, epochs)
    steps = len(batches[0]) // epochs
    lecture = settings.batch_size == 1 and settings.lr == 0.01

    w, history = _descend(minimize, by_hand, start, batches, settings.lr, steps_per_epoch=steps)
    path = torch.cat([history["w"], w[None]])
    gradients = "-2.0 -7.84 -16.2288" if lecture else ""
    lesson.show(
        "first_gradients",
        "gradients of the first epoch, one for each batch",
        history["gradient"][:steps],
        gradients,
        17,
    )
    after = torch.stack([loss(w, *(leaf[i] for leaf in batches)) for i, w in enumerate(path[1:])])
    for epoch in sorted({1, 2, 3, epochs} & set(range(1, epochs + 1))):
        line = torch.stack([path[steps * epoch], after[steps * epoch - 1]])
        figure = "1.260688 4.919240100095999" if lecture and epoch == 1 else ""
        text = f"epoch {epoch}, which the lecture counts as {epoch - 1}: w and the loss of the last batch, after it"
        lesson.show(f"epoch_{epoch}", text, line, figure, 17)
    lesson.show("loss", f"loss of the last batch after {epochs} epochs", after[-1], "", 17)
    lesson.show("w", f"w after {epochs} epochs", w, "", 17)
    lesson.show("prediction", "prediction for 4 hours of study: 4 w", 4 * w, "", 17)
    same, _ = _descend(minimize, fd.value_and_grad(loss), start, batches, settings.lr, report=False)
    lesson.show("w_grad", f"w after {epochs} epochs, with the gradients of funcdl.grad", same, "", 17)
    _compare_batch_sizes(lesson, minimize, x, y, start, settings.lr)
    lesson.show("loss_log", "the loss of the last batch, epoch by epoch", after[steps - 1 :: steps], digits=3)
    lesson.show("w_log", "w after each epoch", path[steps::steps], digits=3)
    title = f"Updates after batches of {settings.batch_size}: w goes to 2, not always downhill"
    report.picture("descent", descent(lambda w: ((x * w - y) ** 2).mean(), path, title))
    return minimize.outcome(lesson, epochs)


def _batches(x: Tensor, y: Tensor, batch_size: int, epochs: int) -> tuple[Tensor, ...]:
    """The batches of all epochs, one after the other, in the order of the samples."""
    inputs, targets, weights = data.stacked_batches((x, y), batch_size)
    return tuple(leaf.repeat(epochs, 1) for leaf in (inputs, targets, weights.to(x.dtype)))


def _descend(
    minimize: Minimizer,
    value_and_grad: Callable[..., tuple[Tensor, Tensor]],
    start: Tensor,
    batches: tuple[Tensor, ...],
    lr: float,
    **options: Any,
) -> tuple[Tensor, dict[str, Tensor]]:
    return minimize(
        lambda w, batch: value_and_grad(w, *batch),
        start,
        optim.sgd(lr=lr),
        batches,
        measure=lambda w, batch: {"w": w, "gradient": by_hand(w, *batch)[1]},
        **options,
    )


def _compare_batch_sizes(lesson: Lesson, minimize: Minimizer, x: Tensor, y: Tensor, start: Tensor, lr: float) -> None:
    """One epoch by batches of 1, 2 and 3: the updates, w after them, and the deviation of a first gradient."""
    for size in range(1, len(x) + 1):
        w, history = _descend(minimize, by_hand, start, _batches(x, y, size, 1), lr, report=False)
        choices = [list(rows) for rows in itertools.combinations(range(len(x)), size)]
        gradients = torch.stack([by_hand(start, x[rows], y[rows], torch.ones_like(x[rows]))[1] for rows in choices])
        row = [len(history["loss"]), w.item(), gradients.std(correction=0).item()]
        lesson.show(
            f"batch_{size}",
            f"one epoch by batches of {size}: updates, w after them, standard deviation of a first gradient",
            row,
        )
    lesson.remark(
        "Small batches make more updates in an epoch, but each has to wait for the one before; large batches have "
        "steadier gradients, and a processor computes their samples at once. Mini-batches lie between the two, and "
        "are what SGD means today."
    )
