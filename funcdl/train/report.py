"""The report of a run: progress on the terminal, a row per epoch, TensorBoard events, pictures and checkpoints.

A report without a directory writes nothing, one without progress says nothing: `Report()` is silent.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from funcdl._extras import require
from funcdl.train import checkpoint, files
from funcdl.train.events import Events
from funcdl.train.files import CheckpointError
from funcdl.tree import Tree

Row = dict[str, float]

METRICS = "metrics.jsonl"
METRICS_BYTES = 2**30


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
        self._events: Events | None = None
        if self.directory is not None:
            require("tensorboard", "train.Report(directory)")
            files.make_folder(self.directory)

    def log(self, text: str) -> None:
        """Prints a line of progress on stderr."""
        if self._progress and sys.stderr is not None:
            with contextlib.suppress(OSError):  # the terminal may be gone, which is no reason to stop
                print(text, file=sys.stderr, flush=True)

    @contextmanager
    def bar(self, description: str, total: int, initial: int = 0) -> Iterator[Bar]:
        """A progress bar for `total` steps, shown on a terminal."""
        from tqdm import tqdm

        hide = not (self._progress and sys.stderr is not None and sys.stderr.isatty())
        with tqdm(total=total, initial=initial, desc=description, unit="step", leave=False, disable=hide) as bar:
            yield bar

    def row(self, values: Row) -> None:
        """Records one epoch: `values` has `epoch`, the numbers measured, and may have `seconds`.

        Raises:
            WriteError: a file of it cannot be written.
        """
        self.rows.append(values)
        names = [name for name in values if name != "epoch"]
        self.log(f"epoch {values['epoch']:g}  " + "  ".join(f"{name} {format_number(values[name])}" for name in names))
        if self.directory is None:
            return
        files.append(self.directory / METRICS, _line(values))
        for name in names:
            self.scalar(name, values[name], int(values["epoch"]))

    def scalar(self, name: str, value: float, step: int) -> None:
        """Adds one point to a curve in TensorBoard."""
        if self.directory is not None:
            from torch.utils.tensorboard import summary  # imported late: it takes a second

            self._write_events().add(summary.scalar(name, value), step)

    def restore_rows(self, epochs: int, count: int | None = None, names: Sequence[str] = ()) -> None:
        """Reads the rows of the first `epochs` epochs back, and drops later ones, which will be made again.

        So is a last line that was left unfinished.

        Args:
            epochs: 0 reads nothing.
            count: how many rows there have to be, where it is known.
            names: those that the last of them has to have.

        Raises:
            CheckpointError: the file has something else, or some of the rows are missing.
            WriteError: it cannot be written.
        """
        if self.directory is None:
            return
        path = self.directory / METRICS
        rows = self._read_rows(path) if epochs else []
        self.rows = [row for row in rows if row["epoch"] <= epochs]
        if count is not None and len(self.rows) != count:
            raise CheckpointError(
                f"{path}: has {len(self.rows)} rows up to epoch {epochs}, and the checkpoint was saved after {count}; "
                "put the whole file in its place, or start a new run"
            )
        if names and self.rows and self.rows[-1].keys() != set(names):
            raise CheckpointError(
                f"{path}: its last row has {', '.join(self.rows[-1])}, and the checkpoint was saved after one that has "
                f"{files.clean(', '.join(names))}; put the whole file in its place, or start a new run"
            )
        files.write_atomically(path, b"".join(map(_line, self.rows)))

    def picture(self, name: str, figure: Any) -> None:
        """Saves a matplotlib figure as `name`.png, and among the TensorBoard images."""
        if self.directory is None:
            return
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=120)
        files.write_atomically(self.directory / f"{name}.png", png.getvalue())
        from PIL import Image  # comes with matplotlib
        from torch.utils.tensorboard import summary

        pixels = np.asarray(Image.open(png).convert("RGB"))  # drawn once, and not again by add_figure
        self._write_events().add(summary.image(name, pixels, dataformats="HWC"))

    def text(self, name: str, content: str) -> None:
        """Saves a text file that belongs to the run, such as the words that its numbers stand for."""
        if self.directory is not None:
            files.write_atomically(self.directory / name, content.encode())

    def save(self, values: Tree, info: dict[str, Any], folder: str = "checkpoint") -> None:
        """Saves a checkpoint, if there is a directory for it."""
        if self.directory is not None:
            checkpoint.save(files.own(self.directory / folder), values, info)

    def load(self, like: Tree, folder: str = "checkpoint") -> tuple[Tree, dict[str, Any]]:
        """Loads the checkpoint, a tree like `like`, and what was saved beside it.

        Raises:
            CheckpointError: there is none, or not of that tree.
        """
        if self.directory is None:
            raise CheckpointError("a report without a directory has no checkpoint; pass Report(directory)")
        return checkpoint.load(files.own(self.directory / folder), like)

    def part(self, name: str) -> Report:
        """Returns a report on one part of the run, such as one of several networks, in a folder of that name."""
        return Report(None if self.directory is None else files.own(self.directory / name), progress=self._progress)

    def close(self) -> None:
        """Closes TensorBoard's file."""
        if self._events is not None:
            self._events.close()
            self._events = None

    def _write_events(self) -> Events:
        if self._events is None:
            assert self.directory is not None
            self._events = Events(self.directory)
        return self._events

    def _read_rows(self, path: Path) -> list[Row]:
        try:
            lines = files.read(path, METRICS_BYTES).split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({error.strerror}); it belongs to the run") from None
        rows: list[Row] = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                values = files.parse(line)
            except ValueError:
                if number == len(lines):  # without a line's end
                    self.log(f"{path}: its last line is unfinished, and dropped")
                    break
                values = None
            wrong = files.difference(values, {"epoch": int}) or files.difference(values, {str: float})
            if not wrong and not all(name.isprintable() for name in values):
                wrong = "it has names that cannot be printed"
            if not wrong and rows and values["epoch"] <= rows[-1]["epoch"]:
                wrong = f"epoch {values['epoch']} follows epoch {rows[-1]['epoch']}"
            if wrong:
                raise CheckpointError(
                    f"{path}: line {number} is not a row of numbers ({wrong}); put the whole file in its place, "
                    "or start a new run"
                )
            rows.append(_Restored(values, path))
        return rows


class Bar(Protocol):
    """What a progress bar can do here."""

    def update(self, n: int) -> Any:
        """Moves on by `n` steps."""

    def set_postfix_str(self, s: str) -> Any:
        """Shows a text behind the bar."""


def format_number(value: float) -> str:
    """Formats a measured number: with four decimals, or as a power of ten when it is huge, or too small for them.

    >>> format_number(0.25), format_number(1.5e91), format_number(2.98e-07), format_number(0.0)
    ('0.2500', '1.5000e+91', '2.9800e-07', '0.0000')
    """
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e9 or value == 0 else f"{value:.4e}"


class _Restored(Row):
    """A row of a file, which may lack what its recipe looks for."""

    def __init__(self, values: Row, path: Path) -> None:
        super().__init__(values)
        self._path = path

    def __missing__(self, name: str) -> float:
        raise CheckpointError(
            f"{self._path}: has no '{name}' in the row of epoch {self['epoch']}; put the whole file in its place, "
            "or start a new run"
        )


def _line(row: Row) -> bytes:
    return json.dumps(row).encode() + b"\n"
