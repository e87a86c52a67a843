"""What every source of data shares: where files lie, how a source hands them over, and what it raises."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

SMALL, FOLD = 1 << 26, 64  # bytes that any gzip file may unpack to, and how many times its size if that is more


class DataError(ValueError):
    """Data is missing, damaged or not what it should be; the message is one sentence that says what to do."""


class Split(NamedTuple):
    """A data set in two parts, each `(inputs, targets)` with one row per sample.

    >>> import torch
    >>> split = Split(train=(torch.zeros(8, 3), torch.zeros(8)), test=(torch.zeros(2, 3), torch.zeros(2)))
    >>> inputs, targets = split.train
    >>> inputs.shape
    torch.Size([8, 3])
    """

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


def data_dir(path: str | os.PathLike[str] | None = None) -> Path:
    """Returns the folder that holds data sets: `path`, else `$FUNCDL_DATA`, else `~/.cache/funcdl`.

    The folder need not exist: a download makes it.

    >>> data_dir("data").as_posix()
    'data'
    """
    return Path(path or os.environ.get("FUNCDL_DATA") or "~/.cache/funcdl").expanduser()


def shortened(text: str, most: int = 60) -> str:
    """Returns what a message shows of a text: its beginning, with all that is not printable escaped.

    >>> print(shortened("a\\tbcdef", 3))
    a\\tb...
    """
    shown = text if len(text) <= most else f"{text[:most]}..."
    return shown if shown.isprintable() else repr(shown)[1:-1]


def read_bytes(path: Path) -> bytes:
    """Returns what a file holds, uncompressed if its name ends in `.gz`: to 64 MiB, or to 64 times its size.

    Raises:
        DataError: the file is missing or cannot be read, or is not gzip where its name says so, or unpacks to more.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise DataError(f"{path} cannot be read: it is a pipe or a device; pass a file")
        if path.suffix != ".gz":
            return path.read_bytes()
        most = max(SMALL, FOLD * path.stat().st_size)
        with gzip.open(path) as file:
            content = file.read(most + 1)
    except gzip.BadGzipFile as error:
        raise DataError(f"{path} is not a gzip file ({error}); delete it and get it again") from None
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path} is a damaged gzip file ({error}); delete it and get it again") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(content) > most:
        raise DataError(
            f"{path} unpacks to more than {most >> 20} MiB, which is more than a data set of its size has; unpack it "
            "yourself if it is meant"
        )
    return content
