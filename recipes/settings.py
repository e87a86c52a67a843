"""Base classes for the settings of recipes: a recipe inherits those that it reads, and adds its own.

The flags of the command line are their fields, so that a recipe shows only flags that do something.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .lesson import Lesson

Device = Literal["auto", "cpu", "cuda"]
Compile = Literal["auto", "on", "off"]
OptimizerName = Literal[
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "asgd",
    "lbfgs",
    "lion",
    "nadam",
    "radam",
    "rmsprop",
    "rprop",
    "sgd",
]


class SettingsError(ValueError):
    """A setting is impossible; the message is one sentence that says what to do."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of every recipe: where its files go and how its result is printed."""

    dataset = "sample"  # class attributes, not fields: DataSettings and SeedSettings make them flags
    seed = 0

    out: Path | None = None
    """The folder for the files of the run; by default a new one under runs/."""
    resume: bool = False
    """Go on with the run in --out (or the latest one), with its settings."""
    json: bool = False
    """Print one line of JSON at the end, and all else to stderr."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""


@dataclass(frozen=True, kw_only=True)
class SeedSettings(Settings):
    """The settings of a recipe that draws random numbers."""

    seed: int = 0
    """Decides everything that is random."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""
        super().check()
        if self.seed < 0:
            raise SettingsError(f"--seed {self.seed}: must be 0 or more")
        if self.seed >= 2**64:
            raise SettingsError(f"--seed {self.seed}: must be below 2**64")


@dataclass(frozen=True, kw_only=True)
class DeviceSettings(Settings):
    """The settings of a recipe whose tensors may be on a GPU."""

    device: Device = "auto"
    """Where to compute; auto takes a GPU where there is one."""


@dataclass(frozen=True, kw_only=True)
class DataSettings(Settings):
    """The settings of a recipe that has the data set of its tutorial besides the sample."""

    dataset: str = "sample"
    """Which data: "sample" comes with the package and needs no download."""
    data_dir: Path | None = None
    """The folder with the other data sets; $FUNCDL_DATA, or else ~/.cache/funcdl."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""
        super().check()
        if self.dataset == "sample":
            meant_for(self, "another --dataset than the sample", "data_dir")


@dataclass(frozen=True, kw_only=True)
class OptimizationSettings(DeviceSettings):
    """The settings of a recipe that takes steps of an optimizer; None is a default that depends on other settings."""

    epochs: int | None = None
    """Passes through the training data; by default what the data set needs."""
    lr: float | None = None
    """Learning rate."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""
        super().check()
        at_least(1, epochs=self.epochs)
        if self.lr is not None and not (self.lr > 0 and math.isfinite(self.lr)):
            raise SettingsError(f"--lr {self.lr}: must be a positive number")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(SeedSettings, OptimizationSettings):
    """The settings of a recipe that trains from random parameters, by a step that can be compiled."""

    compile: Compile = "auto"
    """Whether to compile the training step; auto does when the run is long enough to repay it."""


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings(TrainingSettings):
    """The settings of a recipe that can be trained by another optimizer; see `optimizer_choice.choose`."""

    lr: float | None = None
    """Learning rate; by default the recipe's for its own optimizer, else the usual one of --optimizer."""
    optimizer: OptimizerName | None = None
    """The optimizer; by default the recipe's own."""
    optimizer_options: str = ""
    """Numbers of --optimizer, such as "momentum=0.9,nesterov=true" or "betas=0.9:0.99"."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""
        super().check()
        if self.optimizer_options and self.optimizer is None:
            meant_for(self, "--optimizer NAME", "optimizer_options")
        if self.optimizer_options and self.optimizer is not None:
            from . import optimizer_choice  # imports torch, which takes a second

            optimizer_choice.make(self.optimizer, 1.0, self.optimizer_options)


@dataclass(frozen=True, kw_only=True)
class BatchSettings(DataSettings, OptimizerSettings):
    """The settings of a recipe that trains on batches of a data set."""

    batch_size: int | None = None
    """Samples per step."""
    log_every: int | None = None
    """Print the training loss after every so many batches; by default only after each epoch."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""
        super().check()
        at_least(1, batch_size=self.batch_size, log_every=self.log_every)


MOST = 10**12  # of epochs, rows and the like; products of larger numbers do not fit into 64 bits


def at_least(least: int, **values: int | None) -> None:
    """Refuses settings below `least` or above `MOST`; None stands for a default.

    Raises:
        SettingsError: one of the values is lower, or higher.

    >>> at_least(1, epochs=3, batch_size=0)
    Traceback (most recent call last):
    recipes.settings.SettingsError: --batch-size 0: must be 1 or more
    """
    for name, value in values.items():
        if value is not None and value < least:
            raise SettingsError(f"{flag(name)} {value}: must be {least} or more")
        if value is not None and value > MOST:
            raise SettingsError(f"{flag(name)} {value}: must be at most {MOST:,}")


def meant_for(settings: Settings, where: str, *names: str) -> None:
    """Refuses settings that would have no effect: those that differ from their defaults but are for `where` only.

    Raises:
        SettingsError: there is one.
    """
    for name in names:
        if getattr(settings, name) != getattr(type(settings), name):
            raise SettingsError(f"{flag(name)} {getattr(settings, name)}: is for {where}; leave it out, or add that")


def flag(name: str) -> str:
    """Returns the flag of a setting.

    >>> flag("batch_size")
    '--batch-size'
    """
    return f"--{name.replace('_', '-')}"


def chosen(flag: str, text: str, names: Iterable[str]) -> list[str]:
    """Returns those of `names` that are in the comma-separated `text`, or all of them if it is empty.

    Raises:
        SettingsError: it has something else.

    >>> chosen("--only", "adam,sgd", ["sgd", "adagrad", "adam"])
    ['sgd', 'adam']
    """
    names, wanted = list(names), [part.strip() for part in text.split(",") if part.strip()]
    if unknown := [part for part in wanted if part not in names]:
        raise SettingsError(f"{flag} {text}: '{unknown[0]}' is none of {', '.join(names)}")
    return [name for name in names if not wanted or name in wanted]


SESSION_ONLY = ("out", "resume", "json", "data_dir", "log_every")  # may change when a run is resumed


@dataclass(frozen=True)
class Outcome:
    """The result of a recipe, and how it was computed."""

    metrics: dict[str, Any]
    epochs: int = 0
    device: str = "cpu"
    compiled: bool = False
    lesson: Lesson | None = None
