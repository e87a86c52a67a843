"""Handwritten digits by three convolutions and three linear layers, in three sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from funcdl import nn, train

from ..settings import Outcome
from ..training import Task
from . import _comparison, _digits

SIZES = {"S": ((8, 16, 32), (64, 32)), "M": ((16, 32, 64), (128, 64)), "L": ((32, 64, 128), (256, 128))}
PUBLIC = {"M": "98.48 % after ten epochs on MNIST, 98.71 % at best"}


@dataclass(frozen=True, kw_only=True)
class Settings(_digits.Settings):
    """Compare three networks of three convolutions, three pools and three linear layers: the lecture's exercise.

    All convolutions are of 3 x 3 with padding, so that images shrink in the pools only, 28 to 14 to 7 to 3. From one
    size to the next channels and widths double, and parameters and multiply-adds quadruple. They are trained alike, on
    the same batches in the same order, by SGD: on MNIST as in the lecture, rate 0.01 and momentum 0.5; on the sample,
    which has few steps, 0.03 and 0.9.
    """

    size: Literal["all", "S", "M", "L"] = "all"
    """S: 8, 16, 32 channels and widths 64, 32; M and L: twice and four times as many."""


def network(channels: Sequence[int], widths: Sequence[int]) -> nn.Layer:
    """Three convolutions, each with a ReLU and a pool, and three linear layers: images in, logits out."""
    blocks = [(nn.conv2d(n, 3, padding=1), nn.relu(), nn.max_pool2d(2)) for n in channels]
    hidden = [(nn.linear(n), nn.relu()) for n in widths]
    return nn.serial(
        features=nn.serial(*[layer for block in blocks for layer in block]),
        classifier=nn.serial(nn.flatten(), *[layer for pair in hidden for layer in pair], nn.linear(10)),
    )


def tasks(settings: Settings) -> dict[str, Task]:
    """The sizes that the settings name, all trained as in the lecture."""
    return {
        size: _digits.make_task(
            settings,
            network(*SIZES[size]),
            _comparison.optimizer(settings),
            epochs={"sample": 12, "mnist": 10},
        )
        for size in SIZES
        if settings.size in ("all", size)
    }


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains the sizes one after the other and compares accuracy, parameters, multiply-adds and seconds."""
    return _comparison.run(settings, report, tasks(settings), "digits-cnn-deep", PUBLIC, _comparison.CHANCE)


def predict(settings: Settings, run_dir: Path, inputs: Sequence[str]) -> list[dict[str, Any]]:
    """Reads pictures (PNG, JPEG) of one handwritten digit each, on plain paper, by every network of the run."""
    return _comparison.predict(tasks(settings), run_dir, inputs)
