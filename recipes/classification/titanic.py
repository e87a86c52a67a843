"""Who survived the Titanic: a table with gaps and categories, and several seeds trained at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from funcdl import data, losses, metrics, models, nn, optim, random, train, tree
from funcdl.data.titanic import COLUMNS

from .. import optimizer_choice, predictions, scores, settings, training
from ..lesson import Lesson
from ..settings import Outcome, at_least
from ..training import Task
from . import _passengers, _tables
from ._passengers import KINDS, WHAT, WORDS

EPOCHS = {"sample": 40, "titanic": 500}
ROWS = 10


@dataclass(frozen=True, kw_only=True)
class Settings(settings.BatchSettings):
    """Predict who survived from class, sex, age, relatives, fare and port: the exercise of the lecture on data sets.

    A network 7-16-8-1 learns from four fifths of the passengers. On 179 passengers an accuracy is uncertain by three
    percent, so one split and one start say little: five members, each with a split and a start of its own, are trained
    as one model, and the mean over them is reported beside two rules that need no training.

    Missing ages become the median and missing ports the most frequent one, and every column is brought to mean 0 and
    deviation 1, all by the statistics of the training part: what is held out must not leak into them.
    """

    dataset: Literal["sample", "titanic"] = "sample"
    """sample: 891 invented passengers with gaps, drawn from a key; titanic: Kaggle's 891."""
    epochs: int | None = None
    """Passes through the training data; 40 on the sample, 500 on the Titanic's."""
    batch_size: int = 64
    """Passengers per step, for each member."""
    lr: float | None = None
    """Learning rate; by default Adam's 0.001, else the usual one of --optimizer."""
    seeds: int = 5
    """How many members, each with its own split and start, to train at once."""

    def check(self) -> None:
        """Also refuses a number of members below 1."""
        super().check()
        at_least(1, seeds=self.seeds)


def make_task(settings: Settings) -> Task:
    """Returns what is trained: the members as one model."""
    member = nn.serial(nn.flatten(), nn.linear(16), nn.relu(), nn.linear(8), nn.relu(), nn.linear(1))
    epochs = settings.epochs or EPOCHS[settings.dataset]
    optimizer = optimizer_choice.choose(settings, lambda lr: optim.adam(lr=lr), 1e-3)
    return Task(
        models.ensemble(member, settings.seeds),
        optimizer_choice.for_members(optimizer, settings.seeds),
        epochs,
        settings.batch_size,
        loss=losses.binary_cross_entropy_with_logits,
        metrics={"accuracy": metrics.binary_accuracy()},
        prefix="val",
        every=max(1, epochs // ROWS),
        title=f"titanic: {KINDS[settings.dataset]}, mean over {settings.seeds} splits",
        info={"seeds": settings.seeds},
    )


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains all members at once and scores them on what each of them has not seen."""
    split_key, state_key, order_key, data_key = random.split(random.key(settings.seed), 4).unbind()
    real = settings.dataset == "titanic"
    passengers = data.titanic(settings.data_dir) if real else data.synthetic_passengers(data_key)
    scalings, known, unknown, sexes = _passengers.members(split_key, passengers, settings.seeds)
    task, keys = make_task(settings), (state_key, order_key)
    trained = _tables.fit(settings, report, task, known, unknown, columns=COLUMNS, scalings=scalings, keys=keys)

    lesson = Lesson()
    x, truth = trained.held_out
    survives = trained.predict(x) > 0
    right = survives == (truth > 0.5)
    lesson.show("data", "the data of this run", WHAT[settings.dataset])
    size = tree.size(trained.state.params) // settings.seeds
    lesson.show("parameters", "number of parameters of one member of the ensemble", size)
    scores.add_measurements(lesson, trained.row, when="in the last epoch, mean over the members")
    of_each, best_of_one = right.float().mean((0, 2)), "0.8547, the best of one run" if real else ""
    lesson.show("members", "accuracy of each member on its own validation data", of_each, best_of_one)
    by_sex = (sexes.unsqueeze(-1).to(truth.device) == truth).float().mean()
    rule = "accuracy of a rule without training: all women survive, and no men"
    lesson.show("by_sex", rule if real else f"{rule} (invented passengers)", by_sex, "0.787 of all 891" if real else "")
    predicted, survivors = survives.long().flatten(), truth.long().flatten()
    names, title = ["lost", "survived"], f"titanic: {KINDS[settings.dataset]} held out, over {settings.seeds} splits"
    scores.add_class_scores(lesson, report, predicted, survivors, names, title)
    if settings.seeds > 1:
        lesson.remark(
            f"By chance alone, of split and start, the accuracies are from {of_each.min():.3f} to {of_each.max():.3f}: "
            "a single run says little."
        )
    return trained.outcome(lesson.metrics, lesson)


def predict(settings: Settings, run_dir: Path, given: Sequence[str]) -> list[dict[str, Any]]:
    """Predicts who survives, by Pclass,Sex,Age,SibSp,Parch,Fare,Embarked, such as 3,male,22,1,0,7.25,S."""
    names, rows, notes = _tables.read(run_dir, given, words=WORDS, missing=torch.nan)
    task = make_task(settings)
    survival = training.predict(task, training.load(task, run_dir / "checkpoint", rows), rows).sigmoid()
    for one, each in zip(notes, survival.squeeze(2), strict=True):
        one.append(f"the {settings.seeds} members say {each.min():.0%} to {each.max():.0%}")
        if settings.dataset == "sample":
            one.append("learned from invented passengers")
    mean = survival.mean(1)
    return predictions.of_classes(names, torch.cat([1 - mean, mean], 1), ["lost", "survived"], notes)
