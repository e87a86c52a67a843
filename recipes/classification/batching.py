"""Epochs, iterations and batches: a Dataset, a DataLoader, and the processes that read for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from funcdl import data, random, train

from .. import settings
from ..lesson import Lesson
from ..settings import Outcome, at_least

ARITHMETIC = ((80, 8, "10"), (87, 8, "11"), (759, 32, "24"), (60_000, 32, ""))  # rows, batch, iterations
NAMED = (
    "MNIST FashionMNIST EMNIST CocoDetection LSUN ImageFolder DatasetFolder ImageNet CIFAR10 CIFAR100 STL10 PhotoTour"
)
UNGUARDED = """
import multiprocessing
worker = multiprocessing.get_context("spawn").Process(target=print, args=["a worker"])
worker.start()
worker.join()
"""


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


class Rows(Dataset[tuple[Tensor, Tensor, int]]):
    """Rows of a table, each with the number of the process that has read it."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        """Returns one sample."""
        return self.x[index], self.y[index], os.getpid()

    def __len__(self) -> int:
        return len(self.x)


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
    lesson.show("rows", "n = len(dataset)", n)
    lesson.show("iterations", f"len(loader), batches of {b}", len(shuffled), str(-(-n // b)))
    lesson.show("sizes", "rows in each batch", [len(batch[0]) for batch in epochs[0]])
    lesson.show("dropped", "len(loader), drop_last=True", len(loader(shuffle=True, drop_last=True)), str(n // b))
    if settings.dataset == "sample":
        for number, batches in enumerate(epochs, 1):
            shown = " | ".join(" ".join(f"{value:g}" for value in batch[0].tolist()) for batch in batches)
            lesson.show(f"order_{number}", f"x in epoch {number}", shown)
        pairs = all(torch.equal(batch[1], 11 - batch[0]) for batches in epochs for batch in batches)
        lesson.show("pairs", "y == 11 - x in every batch", pairs, "True")
    readers = {pid for batches in epochs for batch in batches for pid in batch[2].tolist()} - {os.getpid()}
    lesson.show("readers", "other processes that have read, one set for each epoch", len(readers))
    again = same(epochs[0], loader(shuffle=True))
    lesson.show("repeats", "a loader of the same seed, without workers, begins with the same epoch", again, "True")

    slices = [slice(i * b, i * b + b) for i in range((n - 1) // b + 1)]
    by_hand = same(loader(shuffle=False), [(x[rows], y[rows]) for rows in slices])
    lesson.show("by_hand", "the loader in order equals (n - 1) // b + 1 slices", by_hand, "True")
    key = random.fold_in(random.key(settings.seed), 1)
    by_key = [len(inputs) for inputs, _ in data.shuffled_batches(key, (x, y), b, drop_last=False)]
    lesson.show("by_key", "rows in each of data.shuffled_batches(key, (x, y), b)", by_key)
    for rows, batch, tutorial in ARITHMETIC:
        steps = data.steps_per_epoch(rows, batch, drop_last=False)
        lesson.show(f"iterations_{rows}_{batch}", f"iterations of {rows} rows by {batch}", steps, tutorial)
    lesson.show("iterations_87_8_dropping", "of 87 rows by 8, drop_last=True", data.steps_per_epoch(87, 8), "10")
    lesson.show("last_87_8", "rows in the last batch of 87 by 8", 87 - 8 * data.steps_per_epoch(87, 8), "7")
    lesson.show("unguarded", "starting a worker without the guard", unguarded())
    lesson.show("available", "data sets of the lecture's list in torchvision", available())
    lesson.remark("The lecture calls workers threads; they are processes, which is why the guard is needed.")
    lesson.remark("The lecture asks for three methods in a data set; __getitem__, and __len__ to shuffle, are enough.")
    return Outcome(lesson.metrics, settings.epochs, lesson=lesson)


def same(batches: Any, others: Any) -> bool:
    """Whether two epochs have equal inputs and targets, batch by batch."""
    pairs = list(zip(batches, others, strict=True))
    return all(torch.equal(one[part], other[part]) for one, other in pairs for part in (0, 1))


def unguarded() -> str:
    """What Python says to a script that starts a process while it is itself being imported by one."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.py"  # a file, as only a file can be imported again
        script.write_text(UNGUARDED)
        ran = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    refusal = re.search(r"^RuntimeError:.*?\.$", ran.stderr, re.MULTILINE | re.DOTALL)  # up to its first sentence's end
    return " ".join(refusal[0].split()) if refusal else "nothing"


def available() -> str:
    """Those of the lecture's data sets that torchvision has."""
    from torchvision import datasets  # imported here as it takes a second

    return " ".join(name for name in NAMED.split() if hasattr(datasets, name))
