"""Standardization: columns scaled to mean 0 and standard deviation 1."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def standardize(values: Float[Tensor, "n columns"], *, by: Float[Tensor, "m columns"]) -> Float[Tensor, "n columns"]:
    """Scales columns by the mean and standard deviation of those of `by`: `(values - mean(by)) / std(by)`.

    Scale held-out data by the training part, `standardize(held_out, by=train)`, so that nothing of it leaks into
    training.

    Args:
        values: the rows to scale.
        by: the rows whose mean and standard deviation (divided by m, not m - 1) are used. A column that is constant
            in `by` is only shifted.

    Source: `sklearn.preprocessing.StandardScaler`.

    >>> standardize(torch.tensor([[5.0, 7.0]]), by=torch.tensor([[1.0, 7.0], [3.0, 7.0]]))
    tensor([[3., 0.]])
    """
    exact = by.double()
    deviation = exact.std(0, correction=0)
    constant = deviation <= 1e-12 * exact.abs().amax(0)
    return ((values - exact.mean(0)) / torch.where(constant, 1, deviation)).to(values.dtype)
