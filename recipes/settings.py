"""The settings that every recipe has; each adds its own and its own defaults. The command line is made from them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from recipes.lesson import Lesson

Device = Literal["auto", "cpu", "cuda"]
Compile = Literal["auto", "on", "off"]


class SettingsError(ValueError):
    """A setting is impossible; the message is one sentence that says what to do."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every recipe can be told."""

    dataset: str = "sample"
    """Which data: "sample" comes with the package and needs no download."""
    data_dir: Path | None = None
    """The folder with data sets; $FUNCDL_DATA, or else ~/.cache/funcdl."""
    epochs: int | None = None
    """Passes through the training data; by default what the data set needs."""
    batch_size: int = 32
    """Samples per step."""
    lr: float = 0.01
    """Learning rate."""
    seed: int = 0
    """Decides everything that is random."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    compile: Compile = "auto"
    """Whether to compile the training step; auto does when the run is long enough to repay it."""
    out: Path | None = None
    """The folder for what the run leaves behind; by default a new one under runs/."""
    resume: bool = False
    """Go on with the run in --out (or the latest one), with its settings."""
    json: bool = False
    """Print one line of JSON at the end, and all else to stderr."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""
        for name, value, least in (
            ("epochs", self.epochs, 1),
            ("batch-size", self.batch_size, 1),
            ("seed", self.seed, 0),
        ):
            if value is not None and value < least:
                raise SettingsError(f"--{name} {value}: must be {least} or more")
        if self.seed >= 2**64:
            raise SettingsError(f"--seed {self.seed}: must be below 2**64")
        if self.lr is not None and not (self.lr > 0 and math.isfinite(self.lr)):  # None: a recipe's choice by variant
            raise SettingsError(f"--lr {self.lr}: must be a positive number")


def chosen(flag: str, text: str, names: Iterable[str]) -> list[str]:
    """Returns those of `names` that the comma-separated `text` has, or all of them when it is empty.

    Raises:
        SettingsError: it has something else.

    >>> chosen("--only", "adam,sgd", ["sgd", "adagrad", "adam"])
    ['sgd', 'adam']
    """
    names, wanted = list(names), [part.strip() for part in text.split(",") if part.strip()]
    if unknown := [part for part in wanted if part not in names]:
        raise SettingsError(f"{flag} {text}: '{unknown[0]}' is none of {', '.join(names)}")
    return [name for name in names if not wanted or name in wanted]


SESSION_ONLY = ("out", "resume", "json", "data_dir")  # may differ between the sittings of one run


@dataclass(frozen=True)
class Outcome:
    """What a recipe found, and how it was computed."""

    metrics: dict[str, Any]
    epochs: int = 0
    device: str = "cpu"
    compiled: bool = False
    lesson: Lesson | None = None
