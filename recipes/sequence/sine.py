"""From the sine to the cosine: a curve read in windows, with the state of the network carried from one to the next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from funcdl import losses, optim, random, train

from .. import inputs, optimizer_choice, settings, training
from ..lesson import Lesson
from ..settings import Outcome, at_least
from ..training import Task
from ._wave import network, picture

POINTS = 10  # in a window
ROWS = 30


@dataclass(frozen=True, kw_only=True)
class Settings(settings.OptimizerSettings):
    """Follow a sine and give its cosine: an RNN of 64 and a linear layer, ten points of half a wave per step.

    At a point the sine alone does not tell the cosine: it takes the direction in which the curve goes, which the state
    of the network knows. The state at the end of one window is the state at the start of the next; the gradient stops
    between them, as each step differentiates its own window only: the state is a buffer, an argument of the step, and
    what comes out of the step is a number like any other.

    The handbook leaves Adam's rate at 0.001, where, in plain PyTorch as here, every fourth seed or so ends with a loss
    above 0.01: the network loses the half wave it is in. At 0.0007 none of 20 seeds did. Another tutorial's settings:
    `--hidden 32 --lr 0.02 --epochs 50`.
    """

    epochs: int = 150
    """Passes along the wave: two windows, a step each."""
    lr: float | None = None
    """Learning rate; by default Adam's 0.0007, else the usual one of --optimizer."""
    hidden: int = 64
    """The size of the state."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""
        super().check()
        at_least(1, hidden=self.hidden)


def make_task(settings: Settings) -> Task:
    """Returns what is trained: one window after the other, in their order."""
    return Task(
        network(settings.hidden),
        optimizer_choice.choose(settings, lambda lr: optim.adam(lr=lr), 7e-4),
        settings.epochs,
        batch_size=1,
        loss=losses.mse,
        metrics={},
        order=lambda key: list(torch.arange(2).split(1)),
        every=max(1, settings.epochs // ROWS),
        title="sine to cosine",
    )


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains along the curve, and draws what the network gave before the first step and gives after the last."""
    task, keys = make_task(settings), random.split(random.key(settings.seed))
    angles = windows()
    fresh = training.make_state(task, keys[0], angles)
    before = follow(task, fresh, angles.flatten())
    trained = training.fit(settings, report, task, (angles.sin(), angles.cos()), keys=(keys[0], keys[1]))
    after = follow(task, trained.state, angles.flatten().to(trained.data[0].device)).cpu()

    lesson, cosine = Lesson(), angles.flatten().cos()
    first = (before - cosine)[:POINTS].square().mean()
    lesson.show("first_loss", "mean squared error in the first window, before the first step", first, "0.139")
    lesson.show("loss", "mean squared error along the wave, in the last pass", trained.row["loss"], "0.0044, or less")
    now = (after - cosine).square().mean()
    lesson.show("final_loss", "mean squared error along the wave, after the last step", now)
    report.picture("wave", picture(angles.flatten(), before, after))
    return trained.outcome(lesson.metrics, lesson)


def windows() -> Tensor:
    """The angles (2, 10, 1) of the windows of a wave: ten, evenly, from 0 to pi, and ten from pi to 2 pi."""
    within = torch.linspace(0, math.pi, POINTS, dtype=torch.float64)
    return torch.stack([within, math.pi + within]).unsqueeze(2).float()


def follow(task: Task, state: train.TrainState, angles: Tensor) -> Tensor:
    """What the network says along the angles (n,), from the state that its last step left."""
    return training.predict(task, state, angles.sin().view(1, -1, 1)).flatten()


def predict(settings: Settings, run_dir: Path, given: Sequence[str]) -> list[dict[str, Any]]:
    """Predicts the cosine at points of a curve from their sines, in their order, or by a CSV with the column 'sine'."""
    names, sines = inputs.rows(given, ["sine"])
    task = make_task(settings)
    state = training.load(task, run_dir / "checkpoint", sines.unsqueeze(0))
    cosines = training.predict(task, state, sines.unsqueeze(0)).flatten().tolist()
    far = [["a sine is from -1 to 1"] if abs(sine) > 1 else [] for sine in sines.flatten().tolist()]
    return [
        {"input": name, "prediction": cosine, "notes": notes}
        for name, cosine, notes in zip(names, cosines, far, strict=True)
    ]
