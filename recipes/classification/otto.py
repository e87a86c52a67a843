"""Products in nine classes: a network deep enough to over-fit, and the epoch to stop at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from funcdl import data, nn, optim, random, train, tree

from .. import scores, settings, training
from ..lesson import Lesson
from ..settings import Outcome
from ..training import Task

EPOCHS = {"sample": 12, "otto": 50}
HIDDEN = {"wide": (256, 128, 64), "narrow": (64, 32, 16)}
WHAT = {
    "sample": "1,797 handwritten digits of scikit-learn in ten classes, no products: 64 counts of ink each",
    "otto": "61,878 products of Otto in nine classes, 93 counts each",
}
# of a public run of the wide network
PUBLISHED = {"best_epoch": "5", "val_loss": "0.5071", "val_accuracy": "0.8042 at best"}
PUBLISHED |= {"last_accuracy": "0.9461", "last_val_accuracy": "0.7915", "parameters": "65,801"}


@dataclass(frozen=True, kw_only=True)
class Settings(settings.BatchSettings):
    """Tell Otto's products by 93 counts each: the exercise of the lecture on softmax, scored by the log-loss.

    A fifth of the products is held out. The network learns its training part almost by heart in 50 epochs, while the
    validation loss is lowest after about five: the parameters of that epoch are kept, and all that is reported is
    about them. The counts have mean 0 and deviation 1 each, by the statistics of the training part.

    The lecture says that a sigmoid may stand before the cross entropy. It may not: that takes raw outputs, and of nine
    numbers between 0 and 1 it cannot come below ln(1 + 8/e) = 1.37.
    """

    dataset: Literal["sample", "otto"] = "sample"
    """sample: scikit-learn's digits as tables of 64 counts, ten classes; otto: Kaggle's 61,878 products."""
    epochs: int | None = None
    """Passes through the training data; 12 on the sample, 50 on Otto."""
    batch_size: int = 64
    """Samples per step."""
    lr: float = 1e-3
    """Learning rate."""
    network: Literal["wide", "narrow"] = "wide"
    """wide: hidden layers of 256, 128, 64; narrow: of 64, 32, 16."""
    optimizer: Literal["adam", "momentum"] = "adam"  # type: ignore[assignment]
    """momentum: SGD with momentum 0.5, which the narrow network was published with, at --lr 0.1 --batch-size 32."""


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains, keeps the parameters with the lowest validation loss, and scores them class by class."""
    real = settings.dataset == "otto"
    rows, targets = data.otto(settings.data_dir) if real else sample()
    names = [str(number) for number in range(1, 10)] if real else list("0123456789")
    split_key, state_key, order_key = random.split(random.key(settings.seed), 3).unbind()
    known, unknown = data.hold_out(split_key, (rows, targets), share=0.2)
    split = [(data.standardize(x, by=known[0]), y) for x, y in (known, unknown)]
    adam = settings.optimizer == "adam"
    task = Task(
        network(*HIDDEN[settings.network], len(names)),
        optim.adam(lr=settings.lr) if adam else optim.sgd(lr=settings.lr, momentum=0.5),
        settings.epochs or EPOCHS[settings.dataset],
        settings.batch_size,
        prefix="val",
        best="val_loss",
        title=f"otto on {'products' if real else 'digits'}: the epoch of the lowest validation loss is kept",
    )
    trained = training.fit(settings, report, task, *split, keys=(state_key, order_key))

    lesson = Lesson()
    published = PUBLISHED if real and settings.network == "wide" else {}
    best, last = trained.row, report.rows[-1]
    lesson.show("data", "the data of this run", WHAT[settings.dataset])
    size = tree.size(trained.state.params)
    lesson.show("parameters", "number of parameters, tree.size(params)", size, published.get("parameters", ""))
    lesson.show(
        "best_epoch", "epoch with the lowest validation loss, kept", int(best["epoch"]), published.get("best_epoch", "")
    )
    scores.add_measurements(lesson, best, published, "at the epoch kept")
    scores.add_measurements(lesson, last, published, prefix="last_")
    predicted = trained.predict(trained.held_out[0]).argmax(1)
    title = f"otto: which of {len(predicted)} {'products' if real else 'digits'} held out are mistaken for which"
    scores.add_class_scores(lesson, report, predicted, trained.held_out[1], names, title)
    return trained.outcome(lesson.metrics, lesson)


def network(*widths: int) -> nn.Layer:
    """Linear layers with ReLU between them: counts in, logits out."""
    hidden = [layer for width in widths[:-1] for layer in (nn.linear(width), nn.relu())]
    return nn.serial(nn.flatten(), *hidden, nn.linear(widths[-1]))


def sample() -> tuple[Tensor, Tensor]:
    """The digits as counts: the ink of 8 x 8 squares, from 0 to 16."""
    from sklearn.datasets import load_digits  # imported here as it takes a second

    bunch = load_digits()
    return torch.from_numpy(bunch.data).float(), torch.from_numpy(bunch.target).long()
