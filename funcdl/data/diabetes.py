"""The lecture's version of the Pima diabetes table."""

from __future__ import annotations

import os

from jaxtyping import Float
from torch import Tensor

from funcdl.data.download import find_or_download
from funcdl.data.errors import DataError
from funcdl.data.files import data_dir
from funcdl.data.tables import read_table

URL = "https://raw.githubusercontent.com/hunkim/PyTorchZeroToAll/master/data/diabetes.csv.gz"
SHA256 = "398214d0f6b7f4a722f598d8e424f28bc078abbd16ebdeea0f8e264492325aa4"
FEATURES = 8


def diabetes(path: str | os.PathLike[str] | None = None) -> tuple[Float[Tensor, "n 8"], Float[Tensor, "n 1"]]:
    """Returns the 759 women of the lecture's `diabetes.csv.gz`: eight measurements in [-1, 1] each, and a label.

    The labels are inverted: 1 means *no* diabetes. (Every row agrees with the original Pima table if
    `label = 1 - outcome`.) A measurement of 0 may also mean a missing value, because the authors of the file replaced
    each -1 by 0.

    The file is `path/diabetes/diabetes.csv` or `path/diabetes/diabetes.csv.gz`, or is downloaded as the latter.

    Args:
        path: the folder of data sets; None means what `data_dir` says.

    Returns:
        `(measurements, labels)`, float32 (759, 8) and (759, 1), the shape of a network's output.

    Raises:
        DataError: the file is missing and cannot be downloaded, or is damaged; the message has file, line and column.

    Source: https://github.com/hunkim/PyTorchZeroToAll; Smith et al., "Using the ADAP learning algorithm to forecast the
    onset of diabetes mellitus", 1988.
    """
    plain = data_dir(path) / "diabetes" / "diabetes.csv"
    found = plain if plain.exists() else find_or_download("diabetes/diabetes.csv.gz", path, urls=URL, sha256=SHA256)
    values = read_table(found, header=False, columns=FEATURES + 1).values
    wrong = ((values[:, -1] != 0) & (values[:, -1] != 1)).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{found}, row {row + 1}, column {FEATURES + 1}: the label is {values[row, -1]:g}, expected 0 or 1; "
            "correct it or get the file again"
        )
    return values[:, :-1].contiguous(), values[:, -1:].contiguous()
