"""What every source of data shares: where files lie, how a source hands them over, and what it raises."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from torch import Tensor


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
