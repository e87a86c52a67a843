"""Handwritten digits by residual blocks, in all variants of the way past the convolutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from funcdl import models, train
from funcdl.models.residual import VARIANTS, Variant

from ..settings import Outcome
from . import comparison, digits

ERRORS = ("6.61", "12.35", "no", "8.70", "6.91", "12.22", "no", "8.17", "7.84", "6.71", "6.37")
PAPER: dict[str, str] = {
    variant: f"{error} % error of ResNet-110 on CIFAR-10" if error != "no" else "no convergence of ResNet-110"
    for variant, error in zip(VARIANTS, ERRORS, strict=True)
}


@dataclass(frozen=True, kw_only=True)
class Settings(digits.Settings):
    """Compare all variants of the residual block on the lecture's network of two: its exercise on identity mappings.

    The way of x past the convolutions may be scaled, gated, convolved or dropped out, batch norm and ReLU may stand
    before, between or after. In 110 layers on CIFAR-10 the paper finds that nothing on that way is best, and that the
    activations belong before the convolutions. In two blocks on digits there is no such difference: all of them reach
    98.5 to 99 % on MNIST. They are trained alike, on the same batches in the same order, by SGD with momentum 0.5.
    """

    lr: float = 0.01
    """SGD's rate."""
    variant: Literal["all", Variant] = "all"
    """Which block to train; `funcdl.models.residual_block` has the formulas."""


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains the variants one after the other and compares accuracy, parameters, multiply-adds and seconds."""
    chosen = [variant for variant in VARIANTS if settings.variant in ("all", variant)]
    epochs = {"sample": 5, "mnist": 10}
    networks: dict[str, digits.Network] = {
        variant: digits.lecture(models.residual_net(variant=variant), settings.lr, epochs=epochs) for variant in chosen
    }
    return comparison.run(settings, report, networks, "digits-identity", PAPER)
