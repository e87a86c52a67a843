"""Epochs, iterations and batches: a Dataset, a DataLoader, and the processes that read for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader

from funcdl import data, random, train

from .. import settings
from ..lesson import Lesson
from ..settings import Outcome, at_least
from ._workers import Rows, available, unguarded

ARITHMETIC = ((80, 8, "10"), (87, 8, "11"), (759, 32, "24"), (60_000, 32, ""))  # rows, batch, iterations


@dataclass(frozen=True, kw_only=True)
class Settings(settings.SeedSettings, settings.DataSettings):
    """Cut data into batches by a DataLoader whose two workers read ahead, beside the same as pure functions.

    An epoch goes through all rows once; an iteration is one step, on one batch. Of n rows in batches of b an epoch
    has ceil(n / b) iterations, the last with what is left, or floor(n / b) with `drop_last`.

    Workers are processes. Where a process is spawned (on Windows and macOS always; Python 3.14 forks no longer on Linux
    either) it imports the main script again, so a script starts workers behind `if __name__ == "__main__":` only:
    without it every worker would start workers, which Python refuses. `python -m recipes` has that guard.

    The data of these recipes lies in memory as tensors, where workers would only copy: an order drawn from a key is all
    it takes, and the same key gives the same batches everywhere. Workers pay when reading a sample is work.
    """

    dataset: Literal["sample", "diabetes"] = "sample"
    """sample: ten rows, x from 1 to 10 and y from 10 to 1; diabetes: the lecture's 759 rows."""
    epochs: int = 3
    """Passes through the data."""
    batch_size: int = 5
    """Rows in a batch."""
    workers: int = 2
    """Processes that read; 0 reads in this one."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""
        super().check()
        at_least(1, epochs=self.epochs, batch_size=self.batch_size)
        at_least(0, workers=self.workers)


def run(settings: Settings, report: train.Report) -> Outcome:
    """Goes through the data with workers, without them, by hand and by a key."""
    lesson = Lesson()
    ten_rows = torch.linspace(1, 10, 10), torch.linspace(10, 1, 10)
    x, y = ten_rows if settings.dataset == "sample" else data.diabetes(settings.data_dir)
    n, b = len(x), settings.batch_size

    def loader(*, shuffle: bool, workers: int = 0, drop_last: bool = False) -> DataLoader[Any]:
        generator = torch.Generator().manual_seed(settings.seed)  # of its own: the global one is left alone
        return DataLoader(Rows(x, y), b, shuffle, num_workers=workers, drop_last=drop_last, generator=generator)

    shuffled = loader(shuffle=True, workers=settings.workers)
    epochs = [list(shuffled) for _ in range(settings.epochs)]
    lesson.show("rows", "rows of the data, n = len(dataset)", n)
    lesson.show("iterations", f"batches of {b} in an epoch, len(loader)", len(shuffled), str(-(-n // b)))
    lesson.show("sizes", "rows in each batch", [len(batch[0]) for batch in epochs[0]])
    dropping = "batches in an epoch without a last one that is smaller, drop_last=True"
    lesson.show("dropped", dropping, len(loader(shuffle=True, drop_last=True)), str(n // b))
    if settings.dataset == "sample":
        for number, batches in enumerate(epochs, 1):
            shown = " | ".join(" ".join(f"{value:g}" for value in batch[0].tolist()) for batch in batches)
            lesson.show(f"order_{number}", f"x of the rows in epoch {number}, in their order; | ends a batch", shown)
        pairs = all(torch.equal(batch[1], 11 - batch[0]) for batches in epochs for batch in batches)
        lesson.show("pairs", "every batch has each x with its own y, y == 11 - x", pairs, "True")
    readers = {pid for batches in epochs for batch in batches for pid in batch[2].tolist()} - {os.getpid()}
    lesson.show("readers", "processes that have read rows for this one: new workers for each epoch", len(readers))
    again = same(epochs[0], loader(shuffle=True))
    lesson.show("repeats", "without workers, the same seed gives the same first epoch", again, "True")

    slices = [slice(i * b, i * b + b) for i in range((n - 1) // b + 1)]
    by_hand = same(loader(shuffle=False), [(x[rows], y[rows]) for rows in slices])
    lesson.show("by_hand", "without shuffling, the batches are (n - 1) // b + 1 slices of the data", by_hand, "True")
    key = random.fold_in(random.key(settings.seed), 1)
    by_key = [len(inputs) for inputs, _ in data.shuffled_batches(key, (x, y), b, drop_last=False)]
    lesson.show("by_key", "rows in each batch of data.shuffled_batches(key, (x, y), b)", by_key)
    arithmetic(lesson)
    lesson.show("unguarded", "what Python says where a script starts workers without the guard", unguarded())
    lesson.show("available", "data sets of the lecture's list that torchvision has", available())
    lesson.remark("The lecture calls workers threads; they are processes, which is why the guard is needed.")
    lesson.remark(
        "The lecture asks for three methods in a data set; __getitem__ is enough, and __len__ where it is shuffled."
    )
    return Outcome(lesson.metrics, settings.epochs, lesson=lesson)


def arithmetic(lesson: Lesson) -> None:
    """Counts the batches of an epoch, as the lecture does."""
    for rows, batch, tutorial in ARITHMETIC:
        steps = data.steps_per_epoch(rows, batch, drop_last=False)
        lesson.show(f"iterations_{rows}_{batch}", f"batches of {batch} in an epoch of {rows:,} rows", steps, tutorial)
    whole = data.steps_per_epoch(87, 8)
    lesson.show("iterations_87_8_dropping", "batches of 8 in an epoch of 87 rows, drop_last=True", whole, "10")
    lesson.show("last_87_8", "rows in the last, smaller batch of 87 rows by 8", 87 - 8 * whole, "7")


def same(batches: Any, others: Any) -> bool:
    """Whether two epochs have equal inputs and targets, batch by batch."""
    pairs = list(zip(batches, others, strict=True))
    return all(torch.equal(one[part], other[part]) for one, other in pairs for part in (0, 1))
