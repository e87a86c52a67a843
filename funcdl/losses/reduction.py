"""What is made of the losses of single elements."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

Reduction = Literal["none", "mean", "sum"]


def reduce(each: Float[Tensor, "*shape"], reduction: Reduction) -> Float[Tensor, "*loss"]:
    """Returns the mean or the sum of all elements, or `each` as it is.

    Raises:
        ValueError: `reduction` is none of the three.

    >>> import torch
    >>> reduce(torch.tensor([1.0, 3.0]), "mean")
    tensor(2.)
    """
    if reduction == "mean":
        return each.mean()
    if reduction == "sum":
        return each.sum()
    if reduction == "none":
        return each
    raise ValueError(f"expected a reduction of 'none', 'mean' or 'sum', got {reduction!r}")
