"""The event file that TensorBoard reads.

`torch.utils.tensorboard.SummaryWriter` writes in a background thread. Here each record is written at once, so that
nothing is lost if the process is killed, and an error is raised where it happens.
"""

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
    """A new event file in a folder.

    Raises:
        WriteError: the file cannot be written; each method may raise it.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # imported here because it takes a second
        from tensorboard.summary.writer.record_writer import RecordWriter

        files.make_folder(folder)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        self._path = folder / name
        self._descriptor = files.create(self._path)
        self._event = Event
        self._records = RecordWriter(self)
        self._add(file_version="brain.Event:2")

    def add(self, summary: Any, step: int | None = None) -> None:
        """Adds a summary, such as one from `torch.utils.tensorboard.summary`."""
        self._add(summary=summary, step=step)

    def write(self, content: bytes) -> None:
        """Writes the bytes of one record; `RecordWriter` calls this."""
        with files.convert_errors(self._path):
            files.write_all(self._descriptor, content)

    def close(self) -> None:
        """Closes the file."""
        with files.convert_errors(self._path):
            os.close(self._descriptor)

    def _add(self, **values: Any) -> None:
        self._records.write(self._event(wall_time=time.time(), **values).SerializeToString())
