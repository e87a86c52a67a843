"""Handwritten digits by linear layers and a softmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from funcdl import nn, train

from ..settings import Outcome
from ..training import Task
from . import _digits


@dataclass(frozen=True, kw_only=True)
class Settings(_digits.Settings):
    """Read digits by five linear layers, 784-512-256-128-64-10 with ReLU between: the lecture on softmax.

    575,050 parameters, trained by SGD with momentum 0.5 and rate 0.01 on the cross entropy. That takes the last layer's
    raw outputs: it is the negative log likelihood of their log-softmax. The lecture says that a sigmoid may stand
    before it. It may not: of ten numbers between 0 and 1 the loss cannot come below ln(1 + 9 / e) = 1.461.

    Pixels are normalized by 0.1307 and 0.3081, which are no empirical constants but the mean and the deviation of the
    training pixels; the result lies in [-0.424, 2.822], not in [0, 1]. On MNIST 96.5 to 97.7 % after ten epochs.
    """

    network: Literal["lecture", "wide"] = "lecture"
    """wide: 784-520-320-240-120-10 on pixels from 0 to 1, nine epochs: the course that the lecture follows."""


def network(*widths: int) -> nn.Layer:
    """Linear layers with ReLU between them: images in, logits out."""
    hidden = [layer for width in widths for layer in (nn.linear(width), nn.relu())]
    return nn.serial(nn.flatten(), *hidden, nn.linear(10))


def task(settings: Settings) -> Task:
    """The network that the settings name, and the lecture's optimizer."""
    if settings.network == "lecture":
        model, epochs, prepare = network(512, 256, 128, 64), {"sample": 50, "mnist": 10}, _digits.normalize
    else:
        model, epochs, prepare = network(520, 320, 240, 120), {"sample": 120, "mnist": 9}, _digits.pixels(0, 1)
    return _digits.make_task(
        settings,
        model,
        _digits.lecture_sgd(settings),
        epochs=epochs,
        prepare=prepare,
        title=f"digits-softmax on {settings.dataset}",
    )


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains, evaluates after each epoch, and scores every digit."""
    return _digits.run(settings, report, task(settings))


def predict(settings: Settings, run_dir: Path, inputs: Sequence[str]) -> list[dict[str, Any]]:
    """Reads pictures (PNG, JPEG) of one handwritten digit each, on plain paper."""
    return _digits.predict(run_dir, inputs, task(settings))
