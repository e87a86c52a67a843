"""Handwritten digits by residual blocks, in all variants of the way past the convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from funcdl import models, train
from funcdl.models.residual import VARIANTS, Variant

from ..settings import Outcome
from ..training import Task
from . import _comparison, _digits

ERRORS = ("6.61", "12.35", "no", "8.70", "6.91", "12.22", "no", "8.17", "7.84", "6.71", "6.37")
PAPER: dict[str, str] = {
    variant: f"{error} % error of ResNet-110 on CIFAR-10" if error != "no" else "no convergence of ResNet-110"
    for variant, error in zip(VARIANTS, ERRORS, strict=True)
}


@dataclass(frozen=True, kw_only=True)
class Settings(_digits.Settings):
    """Compare all variants of the residual block on the lecture's network of two: its exercise on identity mappings.

    The way of x past the convolutions may be scaled, gated, convolved or dropped out, batch norm and ReLU may stand
    before, between or after. In 110 layers on CIFAR-10 the paper finds that nothing on that way is best, and that the
    activations belong before the convolutions. In two blocks on digits there is no such difference: all of them reach
    98.5 to 99 % on MNIST. They are trained alike, on the same batches in the same order, by SGD: on MNIST as in the
    lecture, rate 0.01 and momentum 0.5; on the sample, which has few steps, 0.03 and 0.9.
    """

    variant: Literal["all", Variant] = "all"
    """Which block to train; `funcdl.models.residual_block` has the formulas."""


def tasks(settings: Settings) -> dict[str, Task]:
    """The lecture's network with each of the blocks that the settings name, all trained as in the lecture."""
    return {
        variant: _digits.make_task(
            settings,
            models.residual_net(variant=variant),
            _comparison.optimizer(settings),
            epochs={"sample": 4, "mnist": 10},
        )
        for variant in VARIANTS
        if settings.variant in ("all", variant)
    }


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains the variants one after the other and compares accuracy, parameters, multiply-adds and seconds."""
    return _comparison.run(settings, report, tasks(settings), "digits-identity", PAPER, _comparison.CHANCE)


def predict(settings: Settings, run_dir: Path, inputs: Sequence[str]) -> list[dict[str, Any]]:
    """Reads pictures (PNG, JPEG) of one handwritten digit each, on plain paper, by every network of the run."""
    return _comparison.predict(tasks(settings), run_dir, inputs)
