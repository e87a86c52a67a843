"""Handwritten digits by a convolutional network: the main job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from funcdl import losses, nn, optim, train

from .. import training
from ..settings import Outcome
from ..training import Task
from . import _digits


@dataclass(frozen=True, kw_only=True)
class Settings(_digits.Settings):
    """Train the ConvNet of *Mastering PyTorch*, chapter 1, on handwritten digits, and look at what it predicts.

    Two convolutions, a pool and two linear layers with dropout, 300,426 parameters, trained by Adadelta on the negative
    log likelihood. On MNIST the book reports 98.3 and 98.5 % of the test digits right after its two epochs.

    The book normalizes pixels by (0.1302, 0.3069), which are the mean and deviation of pixels divided by 256, although
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
    augment: Literal["auto", "on", "off"] = "auto"
    """Whether to train on digits that are moved, turned, bent and drawn with other pens; auto does on the sample."""


def network() -> nn.Layer:
    """The book's network: images in, log-probabilities out."""
    return nn.serial(
        cn1=nn.conv2d(16, 3),
        relu1=nn.relu(),
        cn2=nn.conv2d(32, 3),
        relu2=nn.relu(),
        pool=nn.max_pool2d(2),
        dp1=nn.dropout2d(0.10),
        flatten=nn.flatten(),
        fc1=nn.linear(64),
        relu3=nn.relu(),
        dp2=nn.dropout(0.25),
        fc2=nn.linear(10),
        log_softmax=nn.log_softmax(-1),
    )


def task(settings: Settings) -> Task:
    """The book's network, loss and optimizer."""
    return _digits.make_task(
        settings,
        network(),
        optim.adadelta(lr=settings.lr),
        loss=losses.nll,
        prepare=_digits.pixels(0.1302, 0.3069),
        augment=settings.augment == "on" or (settings.augment == "auto" and settings.dataset == "sample"),
        epochs={"sample": 12, "mnist": 2},
        title=f"digits-convnet on {settings.dataset}",
    )


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains, evaluates after each epoch, and draws the curves and a sheet of predictions."""
    trained = training.fit(settings, report, task(settings), *_digits.read_data(settings))
    return trained.outcome(_digits.draw(report, trained))


def predict(settings: Settings, run_dir: Path, inputs: Sequence[str]) -> list[dict[str, Any]]:
    """Reads pictures of single digits with the network of a run."""
    return _digits.predict(run_dir, inputs, task(settings))
