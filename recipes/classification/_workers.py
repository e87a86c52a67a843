"""A data set that says which process has read a row, and what happens to workers without a guard."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from torch import Tensor
from torch.utils.data import Dataset

NAMED = (
    "MNIST FashionMNIST EMNIST CocoDetection LSUN ImageFolder DatasetFolder ImageNet CIFAR10 CIFAR100 STL10 PhotoTour"
)
UNGUARDED = """
import multiprocessing
worker = multiprocessing.get_context("spawn").Process(target=print, args=["a worker"])
worker.start()
worker.join()
"""


class Rows(Dataset[tuple[Tensor, Tensor, int]]):
    """Rows of a table, each with the number of the process that has read it."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        """Returns one sample."""
        return self.x[index], self.y[index], os.getpid()

    def __len__(self) -> int:
        return len(self.x)


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
