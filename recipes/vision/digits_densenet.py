"""Handwritten digits by dense blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from funcdl import models, optim, train

from .. import optimizer_choice
from ..settings import Outcome, at_least
from ..training import Task
from . import _digits


@dataclass(frozen=True, kw_only=True)
class Settings(_digits.Settings):
    """Read digits by two dense blocks of three layers: the lecture's exercise on DenseNet.

    In a block every layer sees the channels of all layers before it, and adds a few: BN, ReLU, 1 x 1 to four times as
    many, BN, ReLU, 3 x 3. A transition halves the channels and the image. At the end stands the mean of each channel,
    instead of a large linear layer.

    With 12 channels a layer 46,702 parameters. The lecture leaves the training open; here it is SGD with Nesterov's
    momentum of 0.9, as in the paper, at half its rate, 0.05. At the rate of the lecture's other networks the mean at
    the end, which spreads each gradient over the image, makes a slow start.
    """

    growth: int = 12
    """The channels that each layer adds."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""
        super().check()
        at_least(1, growth=self.growth)


def task(settings: Settings) -> Task:
    """A small DenseNet, and the paper's optimizer."""
    return _digits.make_task(
        settings,
        models.densenet(depths=(3, 3), growth=settings.growth),
        optimizer_choice.choose(settings, lambda lr: optim.sgd(lr=lr, momentum=0.9, nesterov=True), 0.05),
        epochs={"sample": 8, "mnist": 10},
        title=f"digits-densenet on {settings.dataset}",
    )


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains, evaluates after each epoch, and scores every digit."""
    return _digits.run(settings, report, task(settings))


def predict(settings: Settings, run_dir: Path, inputs: Sequence[str]) -> list[dict[str, Any]]:
    """Reads pictures (PNG, JPEG) of one handwritten digit each, on plain paper."""
    return _digits.predict(run_dir, inputs, task(settings))
