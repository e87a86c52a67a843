"""Diabetes from eight measurements: a network with several layers, and one that learns nothing but the prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from funcdl import data, losses, metrics, nn, optim, train, tree

from .. import inputs, optimizer_choice, predictions, scores, settings, training
from ..lesson import Lesson
from ..settings import Outcome
from ..training import Task
from . import _tables
from ._measurements import ACTIVATIONS, COLUMNS, KINDS, LABELS, WHAT, prior_loss, published

ACCURACY = metrics.binary_accuracy(threshold=0.5)
ROWS = 10


@dataclass(frozen=True, kw_only=True)
class Settings(settings.BatchSettings):
    """Predict diabetes by a network 8-6-4-1 whose layers all end in a sigmoid, 87 parameters, all rows in every step.

    The lecture's 100 epochs learn only the prior: the loss ends at the entropy of the labels, the network says the same
    for everybody, and the accuracy is the share of the larger class. Sigmoids let little of the gradient through. What
    learns is `--activation relu --epochs 1000`, about 77 % of the training data. Mini-batches as in the lecture on data
    sets are `--batch-size 32 --lr 0.01`; they make 23 small steps an epoch and stay at the prior as well.

    The last layer keeps its sigmoid whatever the others have: the loss needs probabilities, and a ReLU there soon says
    more than 1. Labels are inverted in the lecture's file, which the slides overlook: 1 means no diabetes.
    """

    dataset: Literal["sample", "diabetes"] = "sample"
    """sample: 569 breast tumors of scikit-learn, their first eight measurements; diabetes: the lecture's 759 rows."""
    epochs: int = 100
    """Passes through the data."""
    batch_size: int = 759
    """Rows per step; by default, and whenever it is more than there are, all of them."""
    lr: float | None = None
    """Learning rate; by default 0.1 of SGD, else the usual one of --optimizer."""
    activation: Literal["sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus"] = "sigmoid"
    """What stands between the layers."""
    reduction: Literal["mean", "sum"] = "mean"
    """sum adds the losses of a batch up, which multiplies each step by its rows: take --lr 1e-4 or so with it."""


def make_task(settings: Settings, rows: int = 1) -> Task:
    """Returns what is trained on so many rows."""
    a = ACTIVATIONS[settings.activation]
    network = nn.serial(nn.flatten(), nn.linear(6), a, nn.linear(4), a, nn.linear(1))
    return Task(
        nn.serial(network, nn.sigmoid()),
        optimizer_choice.choose(settings, lambda lr: optim.sgd(lr=lr), 0.1),
        settings.epochs,
        min(settings.batch_size, rows),
        loss=partial(losses.binary_cross_entropy, reduction=settings.reduction),
        metrics={"accuracy": ACCURACY},
        every=max(1, settings.epochs // ROWS),
        title=f"diabetes: {KINDS[settings.dataset]}, {settings.activation} between the layers",
    )


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains on all of the data, as the lecture does, and compares with the prior."""
    real = settings.dataset == "diabetes"
    table = data.diabetes(settings.data_dir) if real else data.benign_tumors()
    trained = training.fit(settings, report, make_task(settings, len(table[1])), table)

    figures = partial(published, dataset=settings.dataset, activation=settings.activation, epochs=settings.epochs)
    lesson = Lesson()
    inputs, labels = trained.data
    probabilities = trained.predict(inputs)
    lesson.show("data", "the data of this run", WHAT[settings.dataset])
    lesson.show("parameters", "number of parameters, tree.size(params)", tree.size(trained.state.params), "87")
    loss = losses.binary_cross_entropy(probabilities, labels)
    lesson.show("loss", "mean loss on the training data after the last step", loss, figures("loss"))
    share = f"loss of giving everybody the same probability, the share of label 1 ({labels.mean():.3f})"
    lesson.show("prior_loss", share, prior_loss(labels), "0.645" if real else "")
    lesson.show("accuracy", "accuracy on the training data", ACCURACY(probabilities, labels), figures("accuracy"))
    extremes = torch.stack([probabilities.min(), probabilities.max()])
    lesson.show("range", "smallest and largest predicted probability of label 1", extremes)
    predicted, truth = (probabilities > 0.5).long().flatten(), labels.long().flatten()
    title = f"diabetes: {len(truth)} {KINDS[settings.dataset]}, which were trained on"
    scores.add_class_scores(lesson, report, predicted, truth, LABELS[settings.dataset], title)
    if loss > 0.98 * prior_loss(labels):
        lesson.remark(
            "The network has learned only the prior: its loss is that of giving everybody the same probability. "
            "What learns more: --activation relu --epochs 1000."
        )
    if real:
        lesson.remark("Label 1 means no diabetes, in all 759 rows of the file; the slides have it the other way round.")
        lesson.remark("A measurement of 0 may be a missing one: whoever made the file put 0 in place of every -1.")
    return trained.outcome(lesson.metrics, lesson)


def predict(settings: Settings, run_dir: Path, given: Sequence[str]) -> list[dict[str, Any]]:
    """Predicts diabetes (or in the sample a malignant tumor) by eight measurements, each scaled to -1 to 1."""
    names, rows = inputs.rows(given, COLUMNS if settings.dataset == "diabetes" else _tables.tumor_columns()[:8])
    task = make_task(settings)
    label_1 = training.predict(task, training.load(task, run_dir / "checkpoint", rows), rows)
    notes = [["a measurement is not between -1 and 1"] if row.abs().max() > 1 else [] for row in rows]
    return predictions.of_classes(names, torch.cat([1 - label_1, label_1], 1), LABELS[settings.dataset], notes)
