"""Shared by the recipes of digits: the data, the task of training one network, its pictures and its predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor

from funcdl import data, nn, optim, train
from funcdl.data import Split

from .. import architecture, optimizer_choice, pictures, scores, settings, training
from ..lesson import Lesson
from ..settings import Outcome, SettingsError
from ..training import Task
from ._augmentation import augmented

EVALUATION_BATCH = 100  # the activations of more images do not stay in the cache
SHOWN = 12
CERTAIN = 0.9  # the probability from which a reading is worth trusting
EPOCHS = {"sample": 20, "mnist": 10}


@dataclass(frozen=True, kw_only=True)
class Settings(settings.BatchSettings):
    """The settings of every recipe of digits."""

    dataset: Literal["sample", "mnist"] = "sample"
    """sample: scikit-learn's 1,797 digits, scaled to 28 x 28, a fifth held out; mnist: 60,000 and 10,000."""
    epochs: int | None = None
    """Passes through the training data; by default the tutorial's on MNIST, and on the sample what it needs."""
    batch_size: int = 64
    """Samples per step."""
    precision: train.Precision = "fp32"
    """bf16 computes the network in bfloat16, faster where the processor has instructions for it."""


def pixels(mean: float, deviation: float) -> Callable[[Tensor], Tensor]:
    """Makes the function that turns bytes to the floats for a network: `(x / 255 - mean) / deviation`."""

    def normalize(images: Tensor) -> Tensor:
        floats = (images.float() / 255 - mean) / deviation
        return floats.squeeze(1).unsqueeze(-1).movedim(-1, 1)  # the strides of channels-last convolve faster

    return normalize


normalize = pixels(0.1307, 0.3081)  # the mean and deviation of MNIST's training pixels


def read_data(settings: settings.DataSettings) -> Split:
    """Returns the digits.

    Raises:
        SettingsError: the data set is neither of the two.
    """
    if settings.dataset not in ("sample", "mnist"):
        raise SettingsError(f"--dataset {settings.dataset}: must be sample or mnist")
    return data.digits() if settings.dataset == "sample" else data.mnist(settings.data_dir)


def make_task(
    settings: Settings,
    model: nn.Layer,
    optimizer: optim.Transformation,
    *,
    epochs: Mapping[str, int] = EPOCHS,
    prepare: Callable[[Tensor], Tensor] = normalize,
    augment: bool = False,
    **options: Any,
) -> Task:
    """Returns the task of training a network to read digits.

    Args:
        settings: of the recipe.
        model: images in; logits out, or log-probabilities, of which the softmax is the probabilities again.
        optimizer: makes the updates.
        epochs: how many by default, on each data set.
        prepare: turns the bytes of the images to floats; by default with MNIST's mean and deviation.
        augment: whether to train on digits that are altered by chance.
        **options: others of the task.
    """
    black, white = prepare(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)).flatten().tolist()
    return Task(
        augmented(model, black, white) if augment else model,
        optimizer,
        settings.epochs or epochs[settings.dataset],
        settings.batch_size,
        prepare=prepare,
        precision=settings.precision,
        evaluation_batch=EVALUATION_BATCH,
        **options,
    )


def lecture_sgd(settings: Settings, lr: float = 0.01, momentum: float = 0.5) -> optim.Transformation:
    """The optimizer of the lecture's networks, or the one that the settings name."""
    return optimizer_choice.choose(settings, lambda rate: optim.sgd(lr=rate, momentum=momentum), lr)


def run(settings: settings.BatchSettings, report: train.Report, task: Task) -> Outcome:
    """Trains a network, draws predictions, and scores it digit by digit; the pictures have the title of the task."""
    trained = training.fit(settings, report, task, *read_data(settings))
    images, labels = trained.held_out
    probabilities = trained.predict(images).softmax(-1)
    predicted = probabilities.argmax(1)
    first = images[:SHOWN], labels[:SHOWN], probabilities[:SHOWN]
    report.picture("predictions", pictures.digit_sheet(*first, pictures.FIRST_READ))
    lesson = Lesson()
    architecture.show_layers(lesson, task.model, training.prepared(task, images[:1]))
    lesson.show("prediction", "what the first test digit is read as", predicted[0])
    lesson.show("truth", "what the first test digit is", labels[0])
    add_certainty(lesson, probabilities, labels)
    names = list("0123456789")
    title = f"{len(labels)} test digits: true and predicted"
    scores.add_class_scores(lesson, report, predicted, labels, names, title)
    report.picture("mistakes", mistakes(images, labels, probabilities))
    return trained.outcome(trained.measurements | lesson.metrics, lesson)


def mistakes(images: Tensor, labels: Tensor, probabilities: Tensor) -> Figure:
    """The test digits that are read wrong, most confident first; where there are none, the least confident."""
    confidence, predicted = probabilities.max(1)
    wrong = (predicted != labels).nonzero().flatten()
    if len(wrong):
        shown = wrong[confidence[wrong].argsort(descending=True)][:SHOWN]
        title = f"{len(shown)} of the {len(wrong)} test digits that are read wrong, most confident first"
    else:
        shown = confidence.argsort()[:SHOWN]
        title = f"All test digits are read right; in these {len(shown)} the network trusts least"
    return pictures.digit_sheet(images[shown], labels[shown], probabilities[shown], title)


def add_certainty(lesson: Lesson, probabilities: Tensor, labels: Tensor) -> None:
    """Adds how often the network is certain of what it reads, and how often it is right then, and where it is not."""
    likeliest, predicted = probabilities.max(-1)
    right, certain = predicted == labels, likeliest >= CERTAIN
    lesson.show("certain", f"share of the test digits that it is at least {CERTAIN:.0%} certain of", mean(certain))
    lesson.show("right_if_certain", "share of these that it reads right", mean(right[certain]))
    lesson.show("right_if_uncertain", "share of the others that it reads right", mean(right[~certain]))


def mean(those: Tensor) -> float | str:
    """The share of True, as text where there is nothing to count."""
    return those.float().mean().item() if len(those) else "there are none"


def predict(run_dir: Path, inputs: Sequence[str], task: Task) -> list[dict[str, Any]]:
    """Reads pictures of single digits with the network of a run."""
    images = torch.stack([data.load_digit(path) for path in inputs])
    state = training.load(task, run_dir / "checkpoint", images)
    probabilities = training.predict(task, state, images).softmax(-1)
    return [
        {
            "input": path,
            "prediction": row.argmax().item(),
            "probabilities": {str(digit): share for digit, share in enumerate(row.tolist())},
            "notes": notes(row),
            "image": image,
        }
        for path, row, image in zip(inputs, probabilities, images, strict=True)
    ]


def notes(probabilities: Tensor) -> list[str]:
    """What to say of a reading that is not certain."""
    (first, second), digits = (part.tolist() for part in probabilities.topk(2))
    return [f"uncertain, {first:.0%}; perhaps {digits[1]}, {second:.0%}"] if first < CERTAIN else []
