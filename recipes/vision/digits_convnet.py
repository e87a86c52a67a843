"""Handwritten digits by a convolutional network: the main job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from funcdl import losses, nn, optim, random, train

from .. import optimizer_choice
from ..settings import Outcome
from ..training import Task
from . import _augmentation, _comparison, _digits, _optimizers

SHOWN = 10  # digits that are drawn as they are and altered


@dataclass(frozen=True, kw_only=True)
class Settings(_digits.Settings):
    """Train the ConvNet of *Mastering PyTorch*, chapter 1, on handwritten digits, and look at what it predicts.

    Two convolutions, a pool and two linear layers with dropout, 300,426 parameters, trained by Adadelta, rate
    0.5, on the negative log likelihood. On MNIST the book reports 98.3 and 98.5 % of the test digits right after its
    two epochs.

    On the sample each training digit is altered at random every time it is shown: moved, turned, bent, drawn with
    another pen. This is harder (the training accuracy falls below the test accuracy), but the network then reads digits
    of other people, too: of digits that a program draws in many pens, sizes and papers about 97 in 100 (without it 69).

    The book normalizes pixels by (0.1302, 0.3069), which are the mean and deviation of pixels divided by 256, although
    they are divided by 255; it is harmless and kept here. Its outputs are log-probabilities, not probabilities.
    """

    dataset: Literal["sample", "mnist"] = "sample"
    """sample: scikit-learn's 1,797 digits, scaled to 28 x 28, a fifth held out; mnist: the book's 60,000 and 10,000."""
    epochs: int | None = None
    """Passes through the training data; 12 on the sample, 2 on MNIST."""
    batch_size: int = 32
    """Samples per step."""
    augment: Literal["auto", "on", "off"] = "auto"
    """Whether to train on digits that are moved, turned, bent and drawn with other pens; auto does on the sample."""
    compare_optimizers: bool = False
    """Train by each of seven optimizers, and draw accuracy and time side by side; 4 epochs on the sample."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""
        super().check()
        if self.compare_optimizers:
            _optimizers.refuse(optimizer=self.optimizer, lr=self.lr)


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
    """The book's network and loss, and its optimizer or the one that the settings name."""
    return make_task(settings, optimizer_choice.choose(settings, lambda lr: optim.adadelta(lr=lr), 0.5))


def make_task(settings: Settings, optimizer: optim.Transformation) -> Task:
    """The task of training the book's network by this optimizer."""
    return _digits.make_task(
        settings,
        network(),
        optimizer,
        loss=losses.nll,
        prepare=_digits.pixels(0.1302, 0.3069),
        augment=augments(settings),
        epochs={"sample": 4 if settings.compare_optimizers else 12, "mnist": 2},
        title=f"digits-convnet on {settings.dataset}",
    )


def augments(settings: Settings) -> bool:
    """Whether the training digits are altered."""
    return settings.augment == "on" or (settings.augment == "auto" and settings.dataset == "sample")


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains, evaluates after each epoch, and draws the curves and sheets of predictions; or compares optimizers."""
    if settings.compare_optimizers:
        return _comparison.run(
            settings,
            report,
            _optimizers.tasks(partial(make_task, settings)),
            "digits-convnet by optimizer",
            remark=_optimizers.RATES,
        )
    outcome = _digits.run(settings, report, task(settings))
    if augments(settings):
        images = _digits.read_data(settings).train[0][:SHOWN]
        report.picture("altered", _augmentation.picture(random.key(settings.seed), images))
    return outcome


def predict(settings: Settings, run_dir: Path, inputs: Sequence[str]) -> list[dict[str, Any]]:
    """Reads pictures (PNG, JPEG) of one handwritten digit each, on plain paper."""
    if settings.compare_optimizers:
        return _comparison.predict(_optimizers.tasks(partial(make_task, settings)), run_dir, inputs)
    return _digits.predict(run_dir, inputs, task(settings))
