"""Files of Kaggle competitions, which only members can download."""

from __future__ import annotations

import os
from pathlib import Path

from funcdl.data.errors import DataError
from funcdl.data.files import data_dir, find_file


def kaggle_file(name: str, competition: str, path: str | os.PathLike[str] | None = None) -> Path:
    """Returns the path of the file `name` of a competition, or of `name` gzipped as `name.gz`.

    Args:
        name: the file relative to the folder of data sets, such as "titanic/train.csv".
        competition: the last part of the competition's address.
        path: the folder of data sets; None means what `data_dir` says.

    Raises:
        DataError: the file does not exist; the message says where to get it and where to put it.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "train.csv.gz").write_bytes(b"")
    >>> kaggle_file("train.csv", "titanic", folder).name
    'train.csv.gz'
    """
    if found := find_file(name, path):
        return found
    raise DataError(
        f"{data_dir(path) / name} is missing, and Kaggle gives it to its members only: get it from "
        f"https://www.kaggle.com/competitions/{competition}/data and put it there"
    )
