"""scikit-learn's breast tumors: a table for binary classification that needs no download."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from funcdl._extras import require


def malignant_tumors() -> tuple[Float[Tensor, "n 30"], Int[Tensor, " n"]]:
    """Returns 569 breast tumors: 30 measurements each, and class 1 for the 212 malignant ones.

    >>> measurements, classes = malignant_tumors()
    >>> measurements.shape, classes.bincount()
    (torch.Size([569, 30]), tensor([357, 212]))

    Source: `sklearn.datasets.load_breast_cancer`; Street, Wolberg, Mangasarian, "Nuclear feature extraction for breast
    tumor diagnosis", 1993.
    """
    measurements, benign = _load()
    return measurements.float(), 1 - benign


def benign_tumors() -> tuple[Float[Tensor, "n 8"], Float[Tensor, "n 1"]]:
    """Returns the first eight measurements of 569 breast tumors, scaled to [-1, 1], and label 1 for the benign ones.

    It has the same form as `diabetes`, where 1 is also the healthy class.

    >>> measurements, labels = benign_tumors()
    >>> measurements.shape, measurements.amin(), measurements.amax(), labels.sum()
    (torch.Size([569, 8]), tensor(-1.), tensor(1.), tensor(357.))

    Source: as for `malignant_tumors`.
    """
    measurements, benign = _load()
    values = measurements[:, :8]
    low, high = values.amin(0), values.amax(0)
    return (2 * (values - low) / (high - low) - 1).float(), benign.float().unsqueeze(1)


def _load() -> tuple[Float[Tensor, "n 30"], Int[Tensor, " n"]]:
    require("sklearn", "the breast tumor data")
    from sklearn.datasets import load_breast_cancer  # imported here because it takes a second

    bunch = load_breast_cancer()
    return torch.from_numpy(bunch.data), torch.from_numpy(bunch.target)
