"""Handwritten digits by three convolutions and three linear layers, in three sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from funcdl import models, train

from ..settings import Outcome
from . import comparison, digits

SIZES = {"S": ((8, 16, 32), (64, 32)), "M": ((16, 32, 64), (128, 64)), "L": ((32, 64, 128), (256, 128))}
PUBLIC = {"M": "98.48 % after ten epochs on MNIST, 98.71 % at best"}


@dataclass(frozen=True, kw_only=True)
class Settings(digits.Settings):
    """Compare three networks of three convolutions, three pools and three linear layers: the lecture's exercise.

    All convolutions are of 3 x 3 with padding, so that images shrink in the pools only, 28 to 14 to 7 to 3. From one
    size to the next channels and widths double, and parameters and multiply-adds quadruple. They are trained alike, on
    the same batches in the same order, by SGD with momentum 0.5.
    """

    lr: float = 0.01
    """SGD's rate."""
    size: Literal["all", "S", "M", "L"] = "all"
    """S: 8, 16, 32 channels and widths 64, 32; M and L: twice and four times as many."""


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains the sizes one after the other and compares accuracy, parameters, multiply-adds and seconds."""
    epochs = {"sample": 30, "mnist": 10}
    networks = {
        name: digits.lecture(models.cnn(channels, widths, padding=1), settings.lr, epochs=epochs)
        for name, (channels, widths) in SIZES.items()
        if settings.size in ("all", name)
    }
    return comparison.run(settings, report, networks, "digits-cnn-deep", PUBLIC)
