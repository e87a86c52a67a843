"""What a run shows while it works and leaves behind: progress, a row per epoch, TensorBoard events, pictures.

A report without a directory writes nothing, one without progress says nothing: `Report()` is silent.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from funcdl.train import checkpoint
from funcdl.tree import Tree

Row = dict[str, float]


class Report:
    """The place a run reports to.

    Files in the directory: `metrics.jsonl` with a row per epoch, TensorBoard events with the same numbers,
    pictures as PNG, and `checkpoint/`.

    >>> report = Report()
    >>> report.row({"epoch": 1, "loss": 0.5})
    >>> report.rows
    [{'epoch': 1, 'loss': 0.5}]
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None, *, progress: bool = False) -> None:
        self.directory = None if directory is None else Path(directory)
        self.rows: list[Row] = []
        self._progress = progress
        self._events: Any = None
        if self.directory is not None:
            self.directory.mkdir(parents=True, exist_ok=True)

    def say(self, text: str) -> None:
        """Tells the person who waits, on stderr."""
        if self._progress:
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def bar(self, description: str, total: int, initial: int = 0) -> Iterator[Bar]:
        """A progress bar for `total` steps, shown on a terminal."""
        from tqdm import tqdm

        hide = not (self._progress and sys.stderr.isatty())
        with tqdm(total=total, initial=initial, desc=description, unit="step", leave=False, disable=hide) as bar:
            yield bar

    def row(self, values: Row) -> None:
        """Records one epoch: `values` has `epoch`, the numbers measured, and may have `seconds`."""
        self.rows.append(values)
        names = [name for name in values if name != "epoch"]
        self.say(f"epoch {values['epoch']:g}  " + "  ".join(f"{name} {written(values[name])}" for name in names))
        if self.directory is None:
            return
        with (self.directory / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(values) + "\n")
            file.flush()
            os.fsync(file.fileno())
        for name in names:
            self.scalar(name, values[name], int(values["epoch"]))

    def scalar(self, name: str, value: float, step: int) -> None:
        """Adds one point to a curve in TensorBoard."""
        if self.directory is not None:
            self._writer().add_scalar(name, value, step)

    def restore_rows(self, epochs: int) -> None:
        """Reads the rows of the first `epochs` epochs back, and drops later ones, which will be made again."""
        if self.directory is None:
            return
        path = self.directory / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows = [row for row in (_parse(line) for line in lines) if row is not None and row["epoch"] <= epochs]
        checkpoint.write_atomically(path, "".join(json.dumps(row) + "\n" for row in self.rows).encode())

    def picture(self, name: str, figure: Any) -> None:
        """Saves a matplotlib figure as `name`.png, and among the TensorBoard images."""
        if self.directory is None:
            return
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=120)
        checkpoint.write_atomically(self.directory / f"{name}.png", png.getvalue())
        pixels = np.asarray(Image.open(png).convert("RGB"))  # drawn once, and not again by add_figure
        self._writer().add_image(name, pixels, dataformats="HWC")

    def text(self, name: str, content: str) -> None:
        """Saves a text file that belongs to the run, such as the words that its numbers stand for."""
        if self.directory is not None:
            checkpoint.write_atomically(self.directory / name, content.encode())

    def save(self, values: Tree, info: dict[str, Any], folder: str = "checkpoint") -> None:
        """Saves a checkpoint, if there is a directory for it."""
        if self.directory is not None:
            checkpoint.save(self.directory / folder, values, info)

    def load(self, like: Tree, folder: str = "checkpoint") -> tuple[Tree, dict[str, Any]]:
        """Loads the checkpoint, a tree like `like`, and what was saved beside it.

        Raises:
            CheckpointError: there is none, or not of that tree.
        """
        if self.directory is None:
            raise checkpoint.CheckpointError("a report without a directory has no checkpoint; pass Report(directory)")
        return checkpoint.load(self.directory / folder, like)

    def part(self, name: str) -> Report:
        """Returns a report on one part of the run, such as one of several networks, in a folder of that name."""
        return Report(None if self.directory is None else self.directory / name, progress=self._progress)

    def close(self) -> None:
        """Writes out what TensorBoard still holds back."""
        if self._events is not None:
            self._events.close()
            self._events = None

    def _writer(self) -> Any:
        if self._events is None:
            from torch.utils.tensorboard import SummaryWriter  # imported late: it takes a second

            self._events = SummaryWriter(str(self.directory))
        return self._events


class Bar(Protocol):
    """What a progress bar can do here."""

    def update(self, n: int) -> Any:
        """Moves on by `n` steps."""

    def set_postfix_str(self, s: str) -> Any:
        """Shows a text behind the bar."""


def written(value: float) -> str:
    """A measured number as a person reads it: with four decimals, or as a power of ten when it is huge.

    >>> written(0.25), written(1.5e91)
    ('0.2500', '1.5000e+91')
    """
    return f"{value:.4f}" if abs(value) < 1e9 else f"{value:.4e}"


def _parse(line: str) -> Row | None:
    """A row, or None for a line that a killed process left unfinished."""
    try:
        return json.loads(line)
    except ValueError:
        return None
