"""Otto's products: feature counts, and nine classes."""

from __future__ import annotations

import os

from jaxtyping import Float, Int
from torch import Tensor

from funcdl.data.kaggle import kaggle_file
from funcdl.data.tables import read_table

FEATURES, CLASSES = 93, 9


def otto(path: str | os.PathLike[str] | None = None) -> tuple[Float[Tensor, "n 93"], Int[Tensor, " n"]]:
    """Returns the 61,878 products of Kaggle's Otto competition, sorted by class as in the file.

    The file is `path/otto/train.csv` or `path/otto/train.csv.gz`.

    Args:
        path: the folder of data sets; None means what `data_dir` says.

    Returns:
        `(counts, classes)`: float32 (61878, 93) of whole numbers, most of them 0, and int64 (61878,) in [0, 9).

    Raises:
        DataError: the file is missing (the message says where to get it) or damaged (it has file, line and column).

    Source: https://www.kaggle.com/competitions/otto-group-product-classification-challenge.
    """
    found = kaggle_file("otto/train.csv", "otto-group-product-classification-challenge", path)
    columns = [f"feat_{number}" for number in range(1, FEATURES + 1)]
    classes = {f"Class_{number}": float(number - 1) for number in range(1, CLASSES + 1)}
    values = read_table(found, columns=[*columns, "target"], convert={"target": classes}).values
    return values[:, :-1].contiguous(), values[:, -1].long()
