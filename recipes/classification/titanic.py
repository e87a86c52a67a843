"""Who survived the Titanic: a table with gaps and categories, and several seeds trained at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from funcdl import data, losses, metrics, models, nn, optim, random, train, tree
from funcdl.data.titanic import COLUMNS

from .. import scores, settings, training
from ..lesson import Lesson
from ..settings import Outcome, at_least
from ..training import Task

EPOCHS = {"sample": 40, "titanic": 500}
ROWS = 10
WHAT = {
    "sample": "891 invented passengers, drawn by a rule: the real ones are --dataset titanic",
    "titanic": "891 real passengers, from Kaggle",
}


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
    split_key, state_key, order_key, data_key = random.split(random.key(settings.seed), 4).unbind()
    real = settings.dataset == "titanic"
    passengers = data.titanic(settings.data_dir) if real else data.synthetic_passengers(data_key)
    parts = [split(key, passengers) for key in random.split(split_key, settings.seeds).unbind()]
    # a row of the training data has one passenger for each member: (rows, members, 7)
    known, unknown, sexes = tree.map(lambda leaf: leaf.transpose(0, 1).contiguous(), tree.stack(parts))
    member = nn.serial(nn.flatten(), nn.linear(16), nn.relu(), nn.linear(8), nn.relu(), nn.linear(1))
    epochs = settings.epochs or EPOCHS[settings.dataset]
    passenger_kind = "passengers" if real else "invented passengers"
    task = Task(
        models.ensemble(member, settings.seeds),
        optim.adam(lr=settings.lr),
        epochs,
        settings.batch_size,
        # The mean over the members divides every gradient by their number, which Adam does not feel.
        loss=losses.binary_cross_entropy_with_logits,
        metrics={"accuracy": metrics.binary_accuracy()},
        prefix="val",
        every=max(1, epochs // ROWS),
        title=f"titanic: {passenger_kind}, mean over {settings.seeds} splits",
        info={"seeds": settings.seeds},
    )
    trained = training.fit(settings, report, task, known, unknown, keys=(state_key, order_key))

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
    names, title = ["lost", "survived"], f"titanic: {passenger_kind} held out, over {settings.seeds} splits"
    scores.add_class_scores(lesson, report, predicted, survivors, names, title)
    return trained.outcome(lesson.metrics, lesson)
