"""Good and bad debtors: logistic regression with two outputs, and a sigmoid where none belongs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from funcdl import data, losses, nn, optim, random, train, tree

from .. import optimizer_choice, predictions, scores, settings, training
from ..lesson import Lesson
from ..settings import Outcome
from ..training import Task
from . import _tables

ROWS = 10
CLASSES = {"sample": ["benign", "malignant"], "credit": ["good", "bad"]}
KINDS = {"sample": "tumors in place of debtors", "credit": "debtors"}
WHAT = {
    "sample": "569 breast tumors from scikit-learn, no debtors: 212 of them are malignant",
    "credit": "1,000 debtors of a German bank, 300 of them bad",
}


@dataclass(frozen=True, kw_only=True)
class Settings(settings.BatchSettings):
    """Tell good from bad debtors of a German bank by a linear layer of two outputs, all 900 rows in every step.

    The handbook puts a sigmoid before the cross entropy, which takes raw outputs: two numbers between 0 and 1 cannot
    bring it below ln(1 + 1/e) = 0.3133, and the gradient is a quarter or less of what it should be. That is the default
    here; `--outputs raw` is right and learns faster.

    A tenth of the rows is held out, and the columns are brought to mean 0 and deviation 1 by the statistics of the
    others; the handbook takes those of all rows.
    """

    dataset: Literal["sample", "credit"] = "sample"
    """sample: 569 breast tumors of scikit-learn, 30 measurements; credit: the 1,000 debtors, 24 numbers."""
    epochs: int = 1000
    """Steps, each on all rows."""
    batch_size: int = 900
    """Rows per step; by default, and whenever it is more than there are, all of them."""
    lr: float | None = None
    """Learning rate; by default Adam's 0.001, else the usual one of --optimizer."""
    outputs: Literal["sigmoid", "raw"] = "sigmoid"
    """What goes into the cross entropy: the handbook's sigmoid of the outputs, or the outputs."""


def make_task(settings: Settings, known: int = 1) -> Task:
    """Returns what is trained on so many rows."""
    return Task(
        nn.serial(nn.linear(2), nn.sigmoid()) if settings.outputs == "sigmoid" else nn.serial(nn.linear(2)),
        optimizer_choice.choose(settings, lambda lr: optim.adam(lr=lr), 1e-3),
        settings.epochs,
        min(settings.batch_size, known),
        every=max(1, settings.epochs // ROWS),
        title=f"credit: {KINDS[settings.dataset]}, {settings.outputs} outputs",
    )


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains, and tests on the tenth held out."""
    real = settings.dataset == "credit"
    rows, classes = data.credit(settings.data_dir) if real else data.malignant_tumors()
    columns = [f"a{number}" for number in range(1, 25)] if real else _tables.tumor_columns()
    split_key, state_key, order_key = random.split(random.key(settings.seed), 3).unbind()
    known, unknown = data.hold_out(split_key, (rows, classes), share=0.1)
    scaling = _tables.scaling(known[0])
    split = [(scaling(x), y) for x, y in (known, unknown)]
    task, keys = make_task(settings, len(known[1])), (state_key, order_key)
    trained = _tables.fit(settings, report, task, *split, columns=columns, scalings=[scaling], keys=keys)

    lesson = Lesson()
    handbook = real and settings.outputs == "sigmoid"
    published = {"loss": "0.6313 to 0.5496", "test_accuracy": "0.76 to 0.80"} if handbook else {}
    lesson.show("data", "the data of this run", WHAT[settings.dataset])
    lesson.show("parameters", "number of parameters, tree.size(params)", tree.size(trained.state.params))
    scores.add_measurements(lesson, trained.row, published)
    floor = losses.cross_entropy(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    lesson.show("floor", "the least loss possible after a sigmoid, cross_entropy([[1., 0.]], [0])", floor, "0.3133")
    predicted = trained.predict(trained.held_out[0]).argmax(1)
    title = f"credit: {len(predicted)} {KINDS[settings.dataset]} held out"
    scores.add_class_scores(lesson, report, predicted, trained.held_out[1], CLASSES[settings.dataset], title)
    lesson.remark(
        "Cross entropy takes raw outputs (--outputs raw); after a sigmoid even perfect answers keep that least loss."
    )
    return trained.outcome(lesson.metrics, lesson)


def predict(settings: Settings, run_dir: Path, given: Sequence[str]) -> list[dict[str, Any]]:
    """Predicts good or bad debtors (on the sample, benign or malignant tumors), by the columns of the run's table."""
    names, rows, notes = _tables.read(run_dir, given)
    task = make_task(settings)
    state = training.load(task, run_dir / "checkpoint", rows[:, 0])
    probabilities = training.predict(task, state, rows[:, 0]).softmax(1)
    if settings.outputs == "sigmoid":
        notes = [[*one, "after the sigmoid no class can be more probable than 73 %"] for one in notes]
    return predictions.of_classes(names, probabilities, CLASSES[settings.dataset], notes)
