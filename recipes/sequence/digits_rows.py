"""Handwritten digits, read row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from funcdl import nn, optim, train

from .. import optimizer_choice, settings
from ..settings import Outcome
from ..training import Task
from ..vision import _digits

EPOCHS = {"sample": 6, "mnist": 1}
EVALUATION_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Settings(settings.BatchSettings):
    """Read digits as sequences: 28 rows of 28 pixels, one after the other, by an LSTM of 64.

    What the LSTM gives at the last row goes through one linear layer. A row is a step in time, so that the network
    never sees the picture as a whole; on MNIST one epoch of Adam, rate 0.01, is
    enough for 95 %.
    """

    dataset: Literal["sample", "mnist"] = "sample"
    """sample: scikit-learn's 1,797 digits, scaled to 28 x 28, a fifth held out; mnist: 60,000 and 10,000."""
    epochs: int | None = None
    """Passes through the training data; 6 on the sample, 1 on MNIST."""
    batch_size: int = 64
    """Samples per step."""


def rows_of(images: Tensor) -> Tensor:
    """Turns images (batch, 1, 28, 28) of bytes to 28 steps of 28 numbers from 0 to 1."""
    return images.squeeze(1).float() / 255


def network() -> nn.Layer:
    """Steps in, logits out: an LSTM, and a linear layer of its last output."""
    return nn.serial(rnn=nn.lstm(64, batch_first=True), last=lambda results: results[0][:, -1], out=nn.linear(10))


def task(settings: Settings) -> Task:
    """The network and its optimizer: Adam, or the one that the settings name."""
    return Task(
        network(),
        optimizer_choice.choose(settings, lambda lr: optim.adam(lr=lr), 0.01),
        settings.epochs or EPOCHS[settings.dataset],
        settings.batch_size,
        prepare=rows_of,
        evaluation_batch=EVALUATION_BATCH,
        title=f"digits-rows on {settings.dataset}",
    )


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains, evaluates after each epoch, and scores every digit."""
    return _digits.run(settings, report, task(settings))


def predict(settings: Settings, run_dir: Path, inputs: Sequence[str]) -> list[dict[str, Any]]:
    """Reads pictures (PNG, JPEG) of one handwritten digit each, on plain paper."""
    return _digits.predict(run_dir, inputs, task(settings))
