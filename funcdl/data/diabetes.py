"""The Pima diabetes table of the lecture, and a table of its form that needs no download."""

from __future__ import annotations

import os

import torch
from jaxtyping import Float
from torch import Tensor

from funcdl._extras import require
from funcdl.data.download import locate
from funcdl.data.source import DataError, data_dir
from funcdl.data.tables import read_table

URL = "https://raw.githubusercontent.com/hunkim/PyTorchZeroToAll/master/data/diabetes.csv.gz"
SHA256 = "398214d0f6b7f4a722f598d8e424f28bc078abbd16ebdeea0f8e264492325aa4"
FEATURES = 8

Table = tuple[Float[Tensor, "n 8"], Float[Tensor, "n 1"]]


def diabetes(path: str | os.PathLike[str] | None = None) -> Table:
    """Returns the 759 women of the lecture's `diabetes.csv.gz`: eight measurements in [-1, 1] each, and a label.

    The labels are inverted: 1 means *no* diabetes, as every row agrees with the original Pima table with
    `label = 1 - outcome`. A measurement of 0 may also mean that it is missing: the file's maker put 0 for every -1.

    The file is `path/diabetes/diabetes.csv` or `path/diabetes/diabetes.csv.gz`, or is downloaded as the latter.

    Args:
        path: the folder with data sets; None means what `data_dir` says.

    Returns:
        `(measurements, labels)`, float32 (759, 8) and (759, 1): with the column kept, as the network's output has it.

    Raises:
        DataError: the file is missing and cannot be downloaded, or is damaged; with file, line and column.

    Source: https://github.com/hunkim/PyTorchZeroToAll; Smith et al., "Using the ADAP learning algorithm to forecast the
    onset of diabetes mellitus", 1988.
    """
    plain = data_dir(path) / "diabetes" / "diabetes.csv"
    found = plain if plain.exists() else locate("diabetes/diabetes.csv.gz", path, urls=URL, sha256=SHA256)
    values = read_table(found, header=False, columns=FEATURES + 1).values
    wrong = ((values[:, -1] != 0) & (values[:, -1] != 1)).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{found}, row {row + 1}, column {FEATURES + 1}: the label is {values[row, -1]:g}, expected 0 or 1; "
            "correct it or get the file again"
        )
    return values[:, :-1].contiguous(), values[:, -1:].contiguous()


def tumours() -> Table:
    """Returns the first eight of scikit-learn's measurements of 569 breast tumours, scaled to [-1, 1], and a label.

    Here, too, 1 is the healthy one: benign.

    >>> measurements, labels = tumours()
    >>> measurements.shape, measurements.amin(), measurements.amax(), labels.sum()
    (torch.Size([569, 8]), tensor(-1.), tensor(1.), tensor(357.))

    Source: `sklearn.datasets.load_breast_cancer`; Street, Wolberg, Mangasarian, "Nuclear feature extraction for breast
    tumor diagnosis", 1993.
    """
    require("sklearn", "data.tumours")
    from sklearn.datasets import load_breast_cancer  # imported here as it takes a second

    bunch = load_breast_cancer()
    values = torch.from_numpy(bunch.data[:, :FEATURES])
    low, high = values.amin(0), values.amax(0)
    return (2 * (values - low) / (high - low) - 1).float(), torch.from_numpy(bunch.target).float().unsqueeze(1)
