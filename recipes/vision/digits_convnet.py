"""Handwritten digits by a convolutional network: the main job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from funcdl import losses, models, optim, train

from ..settings import Outcome
from . import digits

normalise = digits.pixels(0.1302, 0.3069)


@dataclass(frozen=True, kw_only=True)
class Settings(digits.Settings):
    """Train the ConvNet of *Mastering PyTorch*, chapter 1, on handwritten digits, and look at what it predicts.

    Two convolutions, a pool and two linear layers with dropout, 300,426 parameters, trained by Adadelta on the negative
    log likelihood. On MNIST the book reports 98.3 and 98.5 % of the test digits right after its two epochs.

    The book normalises pixels by (0.1302, 0.3069), which are the mean and deviation of pixels divided by 256, although
    they are divided by 255; it is harmless and kept here. Its outputs are log-probabilities, not probabilities.
    """

    dataset: Literal["sample", "mnist"] = "sample"
    """sample: scikit-learn's 1,797 digits, scaled to 28 x 28, a fifth held out; mnist: the book's 60,000 and 10,000."""
    epochs: int | None = None
    """Passes through the training data; 12 on the sample, 2 on MNIST."""
    batch_size: int = 32
    """Samples per step."""
    lr: float = 0.5
    """Adadelta's rate."""


def network(settings: Settings) -> digits.Network:
    """The book's network, and how the book trains it."""
    return digits.Network(
        models.convnet(),
        optim.adadelta(lr=settings.lr),
        loss=losses.nll,
        normalise=normalise,
        epochs={"sample": 12, "mnist": 2},
    )


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains, evaluates after each epoch, and draws the curves and a sheet of predictions."""
    book = network(settings)
    trained = digits.fit(settings, report, book)
    measured = digits.draw(report, book, trained, f"digits-convnet on {settings.dataset}")
    return Outcome(measured, trained.epochs, trained.split.test[1].device.type, trained.compiled)


def predict(settings: Settings, run_dir: Path, inputs: Sequence[str]) -> list[dict[str, Any]]:
    """Reads pictures of single digits with the network of a run."""
    return digits.predict(settings, run_dir, inputs, network(settings))
