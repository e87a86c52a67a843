"""Good and bad debtors: logistic regression with two outputs, and a sigmoid where none belongs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from funcdl import data, losses, nn, optim, random, train, tree

from .. import scores, settings, training
from ..lesson import Lesson
from ..settings import Outcome
from ..training import Task

ROWS = 10
WHAT = {
    "sample": "569 breast tumors from scikit-learn, no debtors: 212 of them are malignant",
    "credit": "1,000 debtors of a German bank, 300 of them bad",
}
OUTPUTS = {"sigmoid": "with a sigmoid before the cross entropy", "raw": "with raw outputs"}


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
    lr: float = 1e-3
    """Adam's rate."""
    outputs: Literal["sigmoid", "raw"] = "sigmoid"
    """What goes into the cross entropy: the handbook's sigmoid of the outputs, or the outputs."""


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains, and tests on the tenth held out."""
    real = settings.dataset == "credit"
    rows, classes = data.credit(settings.data_dir) if real else data.malignant_tumors()
    names, kind = (["good", "bad"], "debtors") if real else (["benign", "malignant"], "tumors")
    split_key, state_key, order_key = random.split(random.key(settings.seed), 3).unbind()
    known, unknown = data.hold_out(split_key, (rows, classes), share=0.1)
    split = [(data.standardize(x, by=known[0]), y) for x, y in (known, unknown)]
    task = Task(
        nn.serial(nn.linear(2), nn.sigmoid()) if settings.outputs == "sigmoid" else nn.serial(nn.linear(2)),
        optim.adam(lr=settings.lr),
        settings.epochs,
        min(settings.batch_size, len(known[1])),
        every=max(1, settings.epochs // ROWS),
        title=f"credit: learning to tell {' from '.join(names)} {kind}, {OUTPUTS[settings.outputs]}",
    )
    trained = training.fit(settings, report, task, *split, keys=(state_key, order_key))

    lesson = Lesson()
    handbook = real and settings.outputs == "sigmoid"
    published = {"loss": "0.6313 to 0.5496", "test_accuracy": "0.76 to 0.80"} if handbook else {}
    lesson.show("data", "the data of this run", WHAT[settings.dataset])
    lesson.show("parameters", "number of parameters, tree.size(params)", tree.size(trained.state.params))
    scores.add_measurements(lesson, trained.row, published)
    floor = losses.cross_entropy(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    lesson.show("floor", "the least loss possible after a sigmoid, cross_entropy([[1., 0.]], [0])", floor, "0.3133")
    predicted = trained.predict(trained.held_out[0]).argmax(1)
    title = f"credit: which of {len(predicted)} {kind} held out are mistaken for which"
    scores.add_class_scores(lesson, report, predicted, trained.held_out[1], names, title)
    lesson.remark(
        "Cross entropy takes raw outputs (--outputs raw); after a sigmoid even perfect answers keep that least loss."
    )
    return trained.outcome(lesson.metrics, lesson)
