"""The file that TensorBoard shows, written at once: a kill loses nothing, an error is raised in its place."""

from __future__ import annotations

import itertools
import os
import socket
import time
from pathlib import Path
from typing import Any

from funcdl.train import files

_numbers = itertools.count()


class Events:
    """A file of events in a folder, a new one for each process.

    Raises:
        WriteError: from each of its methods.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # imported late: it takes a second
        from tensorboard.summary.writer.record_writer import RecordWriter

        files.make_folder(folder)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        self._path = folder / name
        self._descriptor = files.create(self._path)
        self._event = Event
        self._records = RecordWriter(self)
        self._add(file_version="brain.Event:2")

    def add(self, summary: Any, step: int | None = None) -> None:
        """Adds what `torch.utils.tensorboard.summary` has made."""
        self._add(summary=summary, step=step)

    def write(self, content: bytes) -> None:
        """Writes one record, whole."""
        with files.writing(self._path):
            files.write_all(self._descriptor, content)

    def close(self) -> None:
        """Closes the file."""
        with files.writing(self._path):
            os.close(self._descriptor)

    def _add(self, **values: Any) -> None:
        self._records.write(self._event(wall_time=time.time(), **values).SerializeToString())
