"""Products in nine classes: a network deep enough to over-fit, and the epoch to stop at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from funcdl import data, nn, optim, random, train, tree

from .. import optimizer_choice, predictions, scores, settings, training
from ..lesson import Lesson
from ..settings import Outcome
from ..training import Task
from . import _tables
from ._products import CLASSES, KINDS, PUBLISHED, WHAT, sample

EPOCHS = {"sample": 30, "otto": 50}
HIDDEN = {"wide": (256, 128, 64), "narrow": (64, 32, 16)}


@dataclass(frozen=True, kw_only=True)
class Settings(settings.BatchSettings):
    """Tell Otto's products by 93 counts each: the exercise of the lecture on softmax, scored by the log-loss.

    A fifth of the products is held out. The network learns its training part almost by heart in 50 epochs, while the
    validation loss is lowest after about five (on the sample ten) and rises from there: the network over-fits. The
    parameters of that epoch are kept, and the scores are about them. The counts have mean 0 and deviation 1 each, by
    the statistics of the training part.

    The lecture says that a sigmoid may stand before the cross entropy. It may not: that takes raw outputs, and of nine
    numbers between 0 and 1 it cannot come below ln(1 + 8/e) = 1.37.
    """

    dataset: Literal["sample", "otto"] = "sample"
    """sample: scikit-learn's digits as tables of 64 counts, ten classes; otto: Kaggle's 61,878 products."""
    epochs: int | None = None
    """Passes through the training data; 30 on the sample, 50 on Otto."""
    batch_size: int = 64
    """Samples per step."""
    lr: float | None = None
    """Learning rate; by default Adam's 0.001, else the usual one of --optimizer."""
    network: Literal["wide", "narrow"] = "wide"
    """wide: hidden layers of 256, 128, 64; narrow: of 64, 32, 16, published with --optimizer sgd
    --optimizer-options momentum=0.5 --lr 0.1 --batch-size 32 --epochs 10."""


def make_task(settings: Settings) -> Task:
    """Returns what is trained."""
    return Task(
        network(*HIDDEN[settings.network], len(CLASSES[settings.dataset])),
        optimizer_choice.choose(settings, lambda lr: optim.adam(lr=lr), 1e-3),
        settings.epochs or EPOCHS[settings.dataset],
        settings.batch_size,
        prefix="val",
        best="val_loss",
        title=f"otto: {KINDS[settings.dataset]}",
    )


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains, keeps the parameters with the lowest validation loss, and scores them class by class."""
    real = settings.dataset == "otto"
    rows, targets = data.otto(settings.data_dir) if real else sample()
    split_key, state_key, order_key = random.split(random.key(settings.seed), 3).unbind()
    known, unknown = data.hold_out(split_key, (rows, targets), share=0.2)
    scaling, columns = _tables.scaling(known[0]), [f"feat_{number}" for number in range(1, len(rows[0]) + 1)]
    split, keys = [(scaling(x), y) for x, y in (known, unknown)], (state_key, order_key)
    task = make_task(settings)
    trained = _tables.fit(settings, report, task, *split, columns=columns, scalings=[scaling], keys=keys)

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
    title = f"otto: {len(predicted)} {KINDS[settings.dataset]} held out"
    scores.add_class_scores(lesson, report, predicted, trained.held_out[1], CLASSES[settings.dataset], title)
    if best["epoch"] < last["epoch"]:
        lesson.remark(
            f"After epoch {best['epoch']} the network over-fits: its training loss goes on falling, "
            f"while the validation loss rises from {best['val_loss']:.4f} to {last['val_loss']:.4f}."
        )
    else:
        lesson.remark("The validation loss has not turned yet: with more --epochs the network over-fits.")
    return trained.outcome(lesson.metrics, lesson)


def predict(settings: Settings, run_dir: Path, given: Sequence[str]) -> list[dict[str, Any]]:
    """Predicts the class of products by 93 counts (on the sample, of digits by 64), feat_1 and so on."""
    names, rows, notes = _tables.read(run_dir, given)
    task = make_task(settings)
    state = training.load(task, run_dir / "best", rows[:, 0])
    probabilities = training.predict(task, state, rows[:, 0]).softmax(1)
    return predictions.of_classes(names, probabilities, CLASSES[settings.dataset], notes)


def network(*widths: int) -> nn.Layer:
    """Linear layers with ReLU between them: counts in, logits out."""
    hidden = [layer for width in widths[:-1] for layer in (nn.linear(width), nn.relu())]
    return nn.serial(nn.flatten(), *hidden, nn.linear(widths[-1]))
