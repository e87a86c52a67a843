"""Holding a part of the data out, and scaling by the statistics of the rest."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from funcdl import random
from funcdl.data.batching import length, take
from funcdl.data.source import DataError
from funcdl.tree import Tree


def hold_out(key: Tensor, data: Tree, share: float) -> tuple[Tree, Tree]:
    """Splits data at random into a part to train on and a part that is held out.

    Args:
        key: decides which rows are held out.
        data: a tree of tensors with the same number n of rows.
        share: of the rows to hold out, between 0 and 1: floor(share * n) rows.

    Returns:
        `(known, held_out)`, trees like `data`.

    Raises:
        ValueError: the share is not between 0 and 1.
        DataError: there are so few rows that one of the parts would be empty.

    >>> known, held_out = hold_out(random.key(0), torch.arange(10), 0.2)
    >>> len(known), len(held_out), torch.cat([known, held_out]).unique().numel()
    (8, 2, 10)
    """
    n = length(data)
    if not 0 < share < 1:
        raise ValueError(f"hold_out: share={share} of {n} rows leaves one of the parts empty; choose another share")
    count = int(share * n)
    if not 0 < count < n:
        raise DataError(f"hold_out: share={share} of {n} rows leaves one of the parts empty; more rows are needed")
    order = random.permutation(key, n)
    return take(data, order[count:]), take(data, order[:count])


def standardise(values: Float[Tensor, "n columns"], *, by: Float[Tensor, "m columns"]) -> Float[Tensor, "n columns"]:
    """Scales columns so that those of `by` have mean 0 and deviation 1: `(values - mean(by)) / deviation(by)`.

    What is held out is scaled by the part to train on: `standardise(held_out, by=known)`, as otherwise something of it
    would be known before.

    Args:
        values: what to scale.
        by: the rows whose mean and deviation (of the population, divided by m) are used. A column that is constant
            there is only shifted.

    Source: `sklearn.preprocessing.StandardScaler`.

    >>> standardise(torch.tensor([[5.0, 7.0]]), by=torch.tensor([[1.0, 7.0], [3.0, 7.0]]))
    tensor([[3., 0.]])
    """
    exact = by.double()
    deviation = exact.std(0, correction=0)
    constant = deviation <= 1e-12 * exact.abs().amax(0)
    return ((values - exact.mean(0)) / torch.where(constant, 1, deviation)).to(values.dtype)
