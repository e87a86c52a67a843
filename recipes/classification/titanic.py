"""Who survived the Titanic: a table with gaps and categories, and several seeds trained at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

import funcdl as fd
from funcdl import data, losses, metrics, models, optim, random, train, tree
from funcdl.data.titanic import COLUMNS

from .. import pictures, runtime, scores, settings
from ..lesson import Lesson
from ..settings import Outcome, at_least

EPOCHS = {"sample": 40, "titanic": 500}
ROWS = 10


@dataclass(frozen=True, kw_only=True)
class Settings(settings.BatchSettings):
    """Predict who survived from class, sex, age, relatives, fare and port: the exercise of the lecture on data sets.

    A network 7-16-8-1 learns from four fifths of the passengers. On 179 passengers an accuracy is uncertain by three
    per cent, so one split and one start say little: five members, each with a split and a start of its own, are trained
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
    lr: float = 1e-3
    """Adam's rate."""
    seeds: int = 5
    """How many members, each with its own split and start, to train at once."""

    def check(self) -> None:
        """Also refuses a number of members below 1."""
        super().check()
        at_least(1, seeds=self.seeds)


def prepare(known: Tensor, values: Tensor) -> Tensor:
    """Fills the gaps of `values` (n, 7) and scales its columns, by the statistics of the rows `known`."""
    if (gaps := known.isnan().all(0)).any():
        column = COLUMNS[int(gaps.nonzero()[0])]
        raise data.DataError(f"no passenger of the training part has a value in column '{column}'; it cannot be filled")
    typical = known.nanmedian(0).values
    port = COLUMNS.index("Embarked")
    typical[port] = known[:, port][~known[:, port].isnan()].mode().values
    known, values = (torch.where(part.isnan(), typical, part) for part in (known, values))
    return data.standardize(values, by=known)


def split(key: Tensor, passengers: data.Passengers) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Tensor]:
    """Returns a training and a validation part, prepared, a fifth held out, and the sexes of those held out."""
    known, unknown = data.hold_out(key, passengers, share=0.2)
    prepared = [(prepare(known.values, part.values), part.survived) for part in (known, unknown)]
    return prepared[0], prepared[1], unknown.values[:, COLUMNS.index("Sex")]


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains all members at once and scores them on what each of them has not seen."""
    device = runtime.choose_device(settings.device)
    split_key, state_key, order_key, data_key = random.split(random.key(settings.seed), 4).unbind()
    real = settings.dataset == "titanic"
    passengers = data.titanic(settings.data_dir) if real else data.synthetic_passengers(data_key)
    parts = [split(key, passengers) for key in random.split(split_key, settings.seeds).unbind()]
    # a row of the training data has one passenger for each member: (rows, members, 7)
    (inputs, survived), validation, sexes = tree.map(
        lambda leaf: leaf.transpose(0, 1).contiguous().to(device), tree.stack(parts)
    )
    epochs = settings.epochs or EPOCHS[settings.dataset]
    steps = runtime.count_steps(settings.batch_size, epochs, len(inputs))
    compiled = runtime.choose_compile(settings.compile, device, steps, report)

    model = models.ensemble(models.mlp(16, 8, 1), settings.seeds)
    # The mean over the members divides every gradient by their number, which Adam does not feel.
    loss, accuracy = losses.binary_cross_entropy_with_logits, metrics.binary_accuracy()
    optimizer = optim.adam(lr=settings.lr)
    state = train.make_state(model, optimizer, state_key.to(device), inputs[:1])
    step = train.make_step(model, loss, optimizer, metrics={"accuracy": accuracy})
    if compiled:
        step = fd.jit(step, donate_argnums=0)
    evaluate = train.make_evaluate(model, {"val_loss": metrics.mean_loss(loss), "val_accuracy": accuracy})
    batches = data.stacked_batches(validation, len(validation[0]))
    state = train.fit(
        state,
        step,
        (inputs, survived),
        key=order_key,
        epochs=epochs,
        batch_size=settings.batch_size,
        every=max(1, epochs // ROWS),
        evaluate=lambda params, buffers: evaluate(params, buffers, batches),
        report=report,
        resume=settings.resume,
        info=runtime.environment(device, compiled, seeds=settings.seeds),
    )

    lesson = Lesson()
    x, truth = validation
    right = (model(state.params, x) > 0) == (truth > 0.5)
    lesson.show("parameters", "tree.size(params) of one member", tree.size(state.params) // settings.seeds)
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        lesson.show(name, f"{name}, mean over the members", report.rows[-1][name])
    of_each, best_of_one = right.float().mean((0, 2)), "0.8547 at best, of one run" if real else ""
    lesson.show("members", "val_accuracy of each member", of_each, best_of_one)
    by_sex = (sexes.unsqueeze(-1) == truth).float().mean()
    lesson.show("by_sex", "accuracy of saying that the women survived", by_sex, "0.787 of all" if real else "")
    predicted, survivors = (model(state.params, x) > 0).long().flatten(), truth.long().flatten()
    names, title = ["lost", "survived"], f"titanic on {settings.dataset}: held out, of {settings.seeds} splits"
    scores.show_classes(lesson, report, predicted, survivors, names, title)
    report.picture("curves", pictures.curves(report.rows, f"titanic, mean of {settings.seeds} splits", "val"))
    return Outcome(lesson.metrics, epochs, device.type, compiled, lesson)
