"""German credit: borrowers of a bank, and whether the credit went bad."""

from __future__ import annotations

import os

from jaxtyping import Float, Int
from torch import Tensor

from funcdl.data.download import find_or_download
from funcdl.data.errors import DataError
from funcdl.data.tables import read_table

URL = "https://archive.ics.uci.edu/ml/machine-learning-databases/statlog/german/german.data-numeric"
SHA256 = "2752b044394958ab6dd193a0b56ca0f0b3a2d8bc7cb8c008e35a5e84bbec02f8"
FEATURES = 24


def credit(path: str | os.PathLike[str] | None = None) -> tuple[Float[Tensor, "n 24"], Int[Tensor, " n"]]:
    """Returns 1,000 borrowers of a German bank: 24 whole numbers each, and whether the credit went bad.

    The file is `path/credit/german.data-numeric` (or `.gz`), or it is downloaded there.

    Args:
        path: the folder of data sets; None means what `data_dir` says.

    Returns:
        `(attributes, classes)`: float32 (1000, 24), and int64 (1000,) with 0 for good (700) and 1 for bad (300), which
        are 1 and 2 in the file.

    Raises:
        DataError: the file is missing and cannot be downloaded, or is damaged; the message has file, line and column.

    Source: UCI, Statlog (German Credit Data), https://doi.org/10.24432/C5NC77.
    """
    found = find_or_download("credit/german.data-numeric", path, urls=URL, sha256=SHA256)
    values = read_table(found, delimiter=None, header=False, columns=FEATURES + 1).values
    wrong = ((values[:, -1] != 1) & (values[:, -1] != 2)).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{found}, row {row + 1}, column {FEATURES + 1}: the class is {values[row, -1]:g}, expected 1 (good) or 2 "
            "(bad); correct it or get the file again"
        )
    return values[:, :-1].contiguous(), values[:, -1].long() - 1
