"""The optimizers that `digits-convnet --compare-optimizers` compares, and their rates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from funcdl import optim

from ..settings import SettingsError, flag
from ..training import Task

COMPARED = {
    "adadelta": optim.adadelta(lr=0.5),
    "sgd": optim.sgd(lr=0.01),
    "momentum": optim.sgd(lr=0.01, momentum=0.9),
    "adagrad": optim.adagrad(lr=0.01),
    "rmsprop": optim.rmsprop(lr=0.001),
    "adam": optim.adam(lr=0.001),
    "adamw": optim.adamw(lr=0.001),
}
RATES = (
    "Adadelta has the book's rate, 0.5; SGD, momentum (SGD with a momentum of 0.9) and Adagrad have 0.01; RMSProp, "
    "Adam and AdamW 0.001. With other rates, seeds or more epochs the order may be another."
)


def tasks(make: Callable[[optim.Transformation], Task]) -> dict[str, Task]:
    """A task for each of the optimizers, without a picture of its own."""
    return {name: replace(make(optimizer), title="") for name, optimizer in COMPARED.items()}


def refuse(**settings: str | float | None) -> None:
    """Refuses settings of one optimizer.

    Raises:
        SettingsError: one of them is given.
    """
    for name, value in settings.items():
        if value is not None:
            raise SettingsError(f"{flag(name)} {value}: --compare-optimizers has its own; leave out one of the two")
