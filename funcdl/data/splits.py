"""Splits of data sets in two parts: `Split`, and `hold_out`, which splits at random."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from funcdl import random
from funcdl.data.batching import length, take
from funcdl.data.errors import DataError
from funcdl.tree import Tree


class Split(NamedTuple):
    """A training and a test set, each `(inputs, targets)` with one row per sample.

    >>> import torch
    >>> split = Split(train=(torch.zeros(8, 3), torch.zeros(8)), test=(torch.zeros(2, 3), torch.zeros(2)))
    >>> inputs, targets = split.train
    >>> inputs.shape
    torch.Size([8, 3])
    """

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


def hold_out(key: Tensor, data: Tree, share: float) -> tuple[Tree, Tree]:
    """Splits data at random into a training part and a held-out part.

    Args:
        key: decides which rows are held out.
        data: a tree of tensors with the same number n of rows.
        share: fraction of the rows to hold out, between 0 and 1: floor(share * n) rows.

    Returns:
        `(train, held_out)`, trees like `data`.

    Raises:
        ValueError: the share is not between 0 and 1.
        DataError: there are so few rows that one of the parts would be empty.

    >>> import torch
    >>> train, held_out = hold_out(random.key(0), torch.arange(10), 0.2)
    >>> len(train), len(held_out), torch.cat([train, held_out]).unique().numel()
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
