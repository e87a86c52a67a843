"""Computation in float32 for float16 parameters, because in float16 1e-8 is 0 and the square of 300 is infinite."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.tree import Tree

COMPUTE_DTYPES = {torch.float16: torch.float32, torch.complex32: torch.complex64}  # other dtypes compute in their own


def to_compute_dtype(leaf: Tensor) -> Tensor:
    """Returns a leaf in the dtype that its updates are computed in.

    >>> to_compute_dtype(torch.ones(1, dtype=torch.float16)).dtype
    torch.float32
    """
    return leaf.to(COMPUTE_DTYPES.get(leaf.dtype, leaf.dtype))


def to_param_dtypes(params: Tree, values: Tree) -> Tree:
    """Returns `values`, with those of float16 parameters cast to float16.

    >>> to_param_dtypes({"w": torch.ones(1, dtype=torch.float16)}, {"w": torch.zeros(1)})
    {'w': tensor([0.], dtype=torch.float16)}
    """
    if {leaf.dtype for leaf in tree.leaves(params)}.isdisjoint(COMPUTE_DTYPES):
        return values
    return tree.map(lambda p, value: value.to(p.dtype), params, values)
