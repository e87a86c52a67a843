"""Arithmetic with trees and 0-dim scalars."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Scalar, ScalarOrSchedule, current_value
from funcdl.tree import Tree


def scale(scalar: Scalar, leaf: Tensor) -> Tensor:
    """Returns `scalar * leaf` in the dtype of the leaf, even if the leaf is 0-dim."""
    return scalar.to(leaf.dtype) * leaf


def tree_scale(scalar: Scalar, values: Tree) -> Tree:
    """Returns `scalar * leaf` for each leaf, in its dtype."""
    factor = cached_cast(scalar)
    return tree.map(lambda leaf: factor(leaf.dtype) * leaf, values)


def tree_lerp(start: Tree, end: Tree, weight: Scalar) -> Tree:
    """Interpolates linearly: `start + weight (end - start)` for each leaf.

    With `weight = 1 - decay` this is the update of an exponential moving average. Compute the weight in float64,
    because a decay of 0.999 is 1 in bfloat16.
    """
    weight_in = cached_cast(weight)
    return tree.map(lambda s, e: torch.lerp(s, e, weight_in(s.dtype)), start, end)


def tree_where(condition: Tensor, chosen: Tree, other: Tree) -> Tree:
    """Returns the leaves of `chosen` if the 0-dim `condition` is true, else those of `other`, without a branch.

    uint64 leaves (keys) are selected as int64 views, because compiled `torch.where` does not support uint64. A leaf
    that is the same tensor in both trees is returned as it is.
    """

    def where(a: Tensor, b: Tensor) -> Tensor:
        if a is b:
            return a
        if a.dtype == torch.uint64:
            return torch.where(condition, a.view(torch.int64), b.view(torch.int64)).view(torch.uint64)
        return torch.where(condition, a, b)

    return tree.map(where, chosen, other)


def tree_full_like(params: Tree, value: ScalarOrSchedule) -> Tree:
    """Returns a tree like the parameters, filled with the value that a hyperparameter has at the first update."""

    def fill(leaf: Tensor) -> Tensor:
        start = current_value(value, torch.zeros((), dtype=torch.int64, device=leaf.device))
        return torch.zeros_like(leaf) + start.to(leaf.dtype)  # has the strides of the leaf, as all later values

    return tree.map(fill, params)


def cached_cast(scalar: Scalar) -> Callable[[torch.dtype], Tensor]:
    """Returns a function `dtype -> scalar.to(dtype)` that casts once per dtype instead of once per leaf."""
    casts: dict[torch.dtype, Tensor] = {}

    def cast(dtype: torch.dtype) -> Tensor:
        if dtype not in casts:
            casts[dtype] = scalar.to(dtype)
        return casts[dtype]

    return cast
