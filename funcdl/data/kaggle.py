"""Files of Kaggle's competitions, which it hands to its members only."""

from __future__ import annotations

import os
from pathlib import Path

from funcdl.data.source import DataError, data_dir


def kaggle_file(name: str, competition: str, path: str | os.PathLike[str] | None = None) -> Path:
    """Returns where the file `name`, or `name` gzipped as `name.gz`, lies below the folder with data sets.

    Args:
        name: the file, such as "titanic/train.csv".
        competition: the last part of the competition's address.
        path: the folder with data sets; None means what `data_dir` says.

    Raises:
        DataError: the file is not there; says where to get it and where to put it.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "train.csv.gz").write_bytes(b"")
    >>> kaggle_file("train.csv", "titanic", folder).name
    'train.csv.gz'
    """
    wanted = data_dir(path) / name
    for candidate in (wanted, wanted.with_name(f"{wanted.name}.gz")):
        if candidate.exists():
            return candidate
    raise DataError(
        f"{wanted} is missing, and Kaggle gives it to its members only: get it from "
        f"https://www.kaggle.com/competitions/{competition}/data and put it there"
    )
