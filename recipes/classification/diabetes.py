"""Diabetes from eight measurements: a network with several layers, and one that learns nothing but the prior."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from funcdl import data, losses, metrics, nn, optim, train, tree

from .. import scores, settings, training
from ..lesson import Lesson
from ..settings import Outcome
from ..training import Task

ACTIVATIONS = {
    "sigmoid": nn.sigmoid(),
    "tanh": nn.tanh(),
    "relu": nn.relu(),
    "leaky_relu": nn.leaky_relu(),
    "elu": nn.elu(),
    "softplus": nn.softplus(),
}
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
    lr: float = 0.1
    """Rate of the gradient descent."""
    activation: Literal["sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus"] = "sigmoid"
    """What stands between the layers."""
    reduction: Literal["mean", "sum"] = "mean"
    """sum adds the losses of a batch up, which multiplies each step by its rows: take --lr 1e-4 or so with it."""


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains on all of the data, as the lecture does, and compares with the prior."""
    real = settings.dataset == "diabetes"
    table = data.diabetes(settings.data_dir) if real else data.benign_tumors()
    a = ACTIVATIONS[settings.activation]
    network = nn.serial(nn.flatten(), nn.linear(6), a, nn.linear(4), a, nn.linear(1))
    accuracy = metrics.binary_accuracy(threshold=0.5)
    task = Task(
        nn.serial(network, nn.sigmoid()),
        optim.sgd(lr=settings.lr),
        settings.epochs,
        min(settings.batch_size, len(table[1])),
        loss=partial(losses.binary_cross_entropy, reduction=settings.reduction),
        metrics={"accuracy": accuracy},
        every=max(1, settings.epochs // ROWS),
        title=f"diabetes on {settings.dataset}, {settings.activation}",
    )
    trained = training.fit(settings, report, task, table)

    lesson = Lesson()
    inputs, labels = trained.data
    probabilities = trained.predict(inputs)
    lesson.show("parameters", "tree.size(params)", tree.size(trained.state.params), "87")
    lesson.show(
        "loss", "mean loss of the data", losses.binary_cross_entropy(probabilities, labels), published("loss", settings)
    )
    lesson.show("prior_loss", "of always saying the share of 1", prior_loss(labels), "0.645" if real else "")
    lesson.show("accuracy", "accuracy", accuracy(probabilities, labels), published("accuracy", settings))
    lesson.show("range", "smallest and largest probability", torch.stack([probabilities.min(), probabilities.max()]))
    predicted, truth = (probabilities > 0.5).long().flatten(), labels.long().flatten()
    names = ["diabetes", "none"] if real else ["malignant", "benign"]
    scores.add_class_scores(lesson, report, predicted, truth, names, f"diabetes on {settings.dataset}: training data")
    if real:
        lesson.remark("The file's labels are inverted: 1 means no diabetes, in all 759 rows; the slides have it wrong.")
        lesson.remark("A 0 among the measurements may mean that it is missing: the file has 0 for every -1.")
    return trained.outcome(lesson.metrics, lesson)


def prior_loss(labels: Tensor) -> Tensor:
    """The entropy of the labels: the least loss without looking at the measurements."""
    share = labels.mean()
    return losses.binary_cross_entropy(share.expand_as(labels), labels)


def published(name: str, settings: Settings) -> str:
    """The figure that was published for such settings."""
    if settings.dataset != "diabetes":
        return ""
    lecture, public_run = {"loss": "0.645", "accuracy": "0.6535"}, {"loss": "0.4636", "accuracy": "0.7734"}
    runs = {("sigmoid", 100): lecture, ("relu", 1000): public_run}
    return runs.get((settings.activation, settings.epochs), {}).get(name, "")
