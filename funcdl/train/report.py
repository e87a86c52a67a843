"""The report of a run: progress on the terminal, a row per epoch, TensorBoard events, pictures and checkpoints.

A report without a directory writes no files, and one without `progress` prints nothing.
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
MAX_METRICS_BYTES = 2**30


class Report:
    """Receives the progress, measurements, pictures and checkpoints of a run.

    It writes to its directory: `metrics.jsonl` with a row per epoch, TensorBoard events with the same numbers, pictures
    as PNG files, and `checkpoint/`.

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
            with contextlib.suppress(OSError):  # a closed terminal must not end the run
                print(text, file=sys.stderr, flush=True)

    @contextmanager
    def bar(self, description: str, total: int, initial: int = 0) -> Iterator[Bar]:
        """Context manager with a progress bar for `total` steps, which is shown only on a terminal."""
        from tqdm import tqdm

        hide = not (self._progress and sys.stderr is not None and sys.stderr.isatty())
        with tqdm(total=total, initial=initial, desc=description, unit="step", leave=False, disable=hide) as bar:
            yield bar

    def row(self, values: Row) -> None:
        """Records one epoch: `values` has `epoch`, the measured numbers, and optionally `seconds`.

        Raises:
            WriteError: a file cannot be written.
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
            from torch.utils.tensorboard import summary  # imported here because it takes a second

            self._open_events().add(summary.scalar(name, value), step)

    def restore_rows(self, epochs: int, count: int | None = None, names: Sequence[str] = ()) -> None:
        """Reads back the rows of the first `epochs` epochs of an interrupted run.

        Later rows, and an unfinished last line, are removed from the file, because the resumed run writes them again.

        Args:
            epochs: the number of epochs; 0 removes all rows.
            count: the expected number of rows, if known.
            names: the expected names in the last row, if known.

        Raises:
            CheckpointError: the file has other content, or rows are missing.
            WriteError: the file cannot be written.
        """
        if self.directory is None:
            return
        path = self.directory / METRICS
        rows = self._read_rows(path) if epochs else []
        self.rows = [row for row in rows if row["epoch"] <= epochs]
        if count is not None and len(self.rows) != count:
            raise CheckpointError(
                f"{path}: has {len(self.rows)} rows up to epoch {epochs}, but the checkpoint was saved after {count}; "
                "put the whole file in its place, or start a new run"
            )
        if names and self.rows and self.rows[-1].keys() != set(names):
            raise CheckpointError(
                f"{path}: its last row has {', '.join(self.rows[-1])}, but the checkpoint was saved after a row with "
                f"{files.printable(', '.join(names))}; put the whole file in its place, or start a new run"
            )
        files.write_atomically(path, b"".join(map(_line, self.rows)))

    def picture(self, name: str, figure: Any) -> None:
        """Saves a matplotlib figure as `name`.png and as a TensorBoard image."""
        if self.directory is None:
            return
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=120)
        files.write_atomically(self.directory / f"{name}.png", png.getvalue())
        from PIL import Image  # a dependency of matplotlib
        from torch.utils.tensorboard import summary

        pixels = np.asarray(Image.open(png).convert("RGB"))  # reuses the PNG; add_figure would draw the figure again
        self._open_events().add(summary.image(name, pixels, dataformats="HWC"))

    def text(self, name: str, content: str) -> None:
        """Saves a text file that belongs to the run, such as a vocabulary."""
        if self.directory is not None:
            files.write_atomically(self.directory / name, content.encode())

    def save(self, values: Tree, info: dict[str, Any], folder: str = "checkpoint") -> None:
        """Saves a checkpoint in the directory; does nothing without one."""
        if self.directory is not None:
            checkpoint.save(files.refuse_symlink(self.directory / folder), values, info)

    def load(self, like: Tree, folder: str = "checkpoint") -> tuple[Tree, dict[str, Any]]:
        """Loads a checkpoint: a tree with the structure of `like`, and the info that was saved with it.

        Raises:
            CheckpointError: there is none, it is damaged, or it holds a tree of a different structure.
        """
        if self.directory is None:
            raise CheckpointError("a report without a directory has no checkpoint; pass Report(directory)")
        return checkpoint.load(files.refuse_symlink(self.directory / folder), like)

    def part(self, name: str) -> Report:
        """Returns the report of one part of the run, such as one of several networks, in a subfolder of that name."""
        directory = None if self.directory is None else files.refuse_symlink(self.directory / name)
        return Report(directory, progress=self._progress)

    def close(self) -> None:
        """Closes the TensorBoard file."""
        if self._events is not None:
            self._events.close()
            self._events = None

    def _open_events(self) -> Events:
        if self._events is None:
            assert self.directory is not None
            self._events = Events(self.directory)
        return self._events

    def _read_rows(self, path: Path) -> list[Row]:
        try:
            lines = files.read(path, MAX_METRICS_BYTES).split(b"\n")
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
                if number == len(lines):  # there is no newline: the process was killed while it wrote the line
                    self.log(f"{path}: the last line is incomplete and is removed")
                    break
                values = None
            wrong = files.find_mismatch(values, {"epoch": int}) or files.find_mismatch(values, {str: float})
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
    """The methods of a `tqdm` progress bar that a run uses."""

    def update(self, n: int) -> Any:
        """Advances by `n` steps."""

    def set_postfix_str(self, s: str) -> Any:
        """Shows a text after the bar."""


def format_number(value: float) -> str:
    """Formats a measured number with four decimals; in scientific notation from 1e9 on and below 1e-3.

    >>> format_number(0.25), format_number(1.5e91), format_number(2.98e-07), format_number(0.0)
    ('0.2500', '1.5000e+91', '2.9800e-07', '0.0000')
    """
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e9 or value == 0 else f"{value:.4e}"


class _Restored(Row):
    """A row read from a file. Looking up a name that it does not have raises a `CheckpointError`."""

    def __init__(self, values: Row, path: Path) -> None:
        super().__init__(values)
        self._path = path

    def __missing__(self, name: str) -> float:
        raise CheckpointError(
            f"{self._path}: has no '{name}' in the row of epoch {self['epoch']}; put the original file in its place, "
            "or start a new run"
        )


def _line(row: Row) -> bytes:
    return json.dumps(row).encode() + b"\n"
