"""Handwritten digits by Inception blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from funcdl import nn, train

from ..settings import Outcome
from ..training import Task
from . import _digits


@dataclass(frozen=True, kw_only=True)
class Settings(_digits.Settings):
    """Read digits by two convolutions with an Inception block after each: the lecture on GoogLeNet.

    A block looks at its input in four ways, and joins what they see, 16 + 24 + 24 + 24 = 88 channels. Convolutions of
    1 x 1 come first and leave few channels for the wide ones, which makes those cheap: 192 channels to 32 by 5 x 5 on
    28 x 28 are 12,443,648 multiplications with 16 channels between, and 120,422,400 without. (The slide says
    12,433,648.)

    97,298 parameters, trained by SGD with momentum 0.5 and rate 0.01; on MNIST 95.5 to 97 % after an epoch, 98.7 to
    98.9 % after ten.
    """


def network() -> nn.Layer:
    """The lecture's network: images in, logits out."""
    return nn.serial(
        conv1=nn.conv2d(10, 5),
        pool1=nn.max_pool2d(2),
        relu1=nn.relu(),
        incep1=block(),
        conv2=nn.conv2d(20, 5),
        pool2=nn.max_pool2d(2),
        relu2=nn.relu(),
        incep2=block(),
        flatten=nn.flatten(),
        fc=nn.linear(10),
    )


def block() -> nn.Layer:
    """The Inception block: four branches on the same input, whose channels are concatenated."""
    return nn.parallel(
        branch1x1=nn.conv2d(16, 1),
        branch5x5=nn.serial(nn.conv2d(16, 1), nn.conv2d(24, 5, padding=2)),
        branch3x3=nn.serial(nn.conv2d(16, 1), nn.conv2d(24, 3, padding=1), nn.conv2d(24, 3, padding=1)),
        pool=nn.serial(nn.avg_pool2d(3, stride=1, padding=1), nn.conv2d(24, 1)),
        combine=nn.concatenate(dim=1),
    )


def task(settings: Settings) -> Task:
    """The network, and the lecture's optimizer."""
    optimizer = _digits.lecture_sgd(settings)
    return _digits.make_task(settings, network(), optimizer, title=f"digits-inception on {settings.dataset}")


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains, evaluates after each epoch, and scores every digit."""
    return _digits.run(settings, report, task(settings))


def predict(settings: Settings, run_dir: Path, inputs: Sequence[str]) -> list[dict[str, Any]]:
    """Reads pictures (PNG, JPEG) of one handwritten digit each, on plain paper."""
    return _digits.predict(run_dir, inputs, task(settings))
