"""Hours of study and passing the exam: logistic regression on three points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from funcdl import losses, nn, optim, random, train, tree

from .. import inputs, optimizer_choice, predictions, settings, training
from ..lesson import Lesson
from ..settings import Outcome
from ..training import Task
from ._passing import picture

HOURS = torch.tensor([[1.0], [2.0], [3.0]])
PASSED = torch.tensor([[0.0], [0.0], [1.0]])
ROWS = 10


@dataclass(frozen=True, kw_only=True)
class Settings(settings.OptimizerSettings):
    """Fit the probability to pass an exam, sigmoid(w hours + b), to three students: 1 and 2 hours fail, 3 hours pass.

    The loss is the binary cross entropy, summed over the three; every epoch sees all of them. Where the probability is
    one half, at -b / w hours, the classes meet. As the points can be separated the best w is infinite: the boundary
    settles early, between 2 and 3 hours, and w goes on growing ever more slowly.
    """

    epochs: int = 1000
    """Passes through the three points; 100 are visibly too few."""
    seed: int = 0
    """Draws the random start."""
    start: Literal["zero", "random"] = "zero"
    """zero: from w = b = 0, where every probability is one half; random: as torch draws them."""
    lr: float | None = None
    """Learning rate; by default 0.01 of SGD, else the usual one of --optimizer."""


def make_task(settings: Settings) -> Task:
    """Returns what is trained: a line and a sigmoid, on all students at once."""
    zeros = nn.initializers.zeros
    line = nn.linear(1) if settings.start == "random" else nn.linear(1, weight_init=zeros, bias_init=zeros)
    return Task(
        nn.serial(linear=line, sigmoid=nn.sigmoid()),
        optimizer_choice.choose(settings, lambda lr: optim.sgd(lr=lr), 0.01),
        settings.epochs,
        batch_size=len(HOURS),
        loss=partial(losses.binary_cross_entropy, reduction="sum"),
        metrics={},
        order=lambda key: [torch.arange(len(HOURS))],
        evaluate=lambda params, buffers, batches: dict(zip("wb", coefficients(params), strict=True)),
        every=max(1, settings.epochs // ROWS),
    )


def coefficients(params: tree.Tree) -> tuple[Tensor, Tensor]:
    """The weight and the bias of the line."""
    return params["linear"]["weight"].squeeze(), params["linear"]["bias"].squeeze()


def run(settings: Settings, report: train.Report) -> Outcome:
    """Descends from the start chosen and shows the probabilities and the boundary."""
    task, keys = make_task(settings), random.split(random.key(settings.seed))
    first = task.loss(training.predict(task, training.make_state(task, keys[0], HOURS), HOURS), PASSED)
    trained = training.fit(settings, report, task, (HOURS, PASSED), keys=(keys[0], keys[1]))
    hours, passed = trained.data
    w, b = (value.item() for value in coefficients(trained.state.params))
    boundary = -b / w if w else None  # the first step from zero changes b alone: all three probabilities stay alike
    probabilities = trained.predict(hours)

    lesson = Lesson()
    start = "3 ln 2 = 2.0794" if settings.start == "zero" else ""
    lesson.show("first_loss", "loss before the first step, summed over the students", first, start)
    lesson.show("loss", "loss after the last step", task.loss(probabilities, passed))
    lesson.show("w", "w, the weight of the hours", w)
    lesson.show("b", "b, the bias", b)
    meaning = "hours at which passing and failing are equally probable, -b / w"
    lesson.show("boundary", meaning, "none yet" if boundary is None else boundary, "about 2.42")
    four = trained.predict(torch.tensor([[4.0]], device=hours.device))
    lesson.show("prediction", "probability to pass after 4 hours", four.item())
    words = "probabilities of the three students to pass, who fail, fail and pass"
    lesson.show("probabilities", words, probabilities.flatten(), "fail, fail, pass")
    report.picture("logistic", picture(hours, passed, trained.predict, boundary))
    return trained.outcome(lesson.metrics, lesson)


def predict(settings: Settings, run_dir: Path, given: Sequence[str]) -> list[dict[str, Any]]:
    """Predicts whether students pass, by hours of study on the command line or a CSV with the column 'hours'."""
    names, hours = inputs.rows(given, ["hours"])
    task = make_task(settings)
    passing = training.predict(task, training.load(task, run_dir / "checkpoint", hours), hours)
    notes = [[] if 1 <= one <= 3 else ["the students studied 1 to 3 hours"] for one in hours.flatten().tolist()]
    return predictions.of_classes(names, torch.cat([1 - passing, passing], 1), ["fail", "pass"], notes)
