"""Checks that gradients, updates and states match the parameters that they belong to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.precision import COMPUTE_DTYPES
from funcdl.tree import Tree


def match_gradients(name: str, grads: Tree, params: Tree) -> tuple[Tree, set[torch.dtype]]:
    """Returns the gradients cast to the dtypes of the parameters (float32 for float16), and the set of these dtypes.

    Raises:
        ValueError: there are no parameters, or the gradients are not a tree like them, have other shapes, or are
            complex for real parameters.

    >>> match_gradients("adam", {"w": torch.ones(2)}, {"w": torch.ones(3)})
    Traceback (most recent call last):
    ValueError: adam.update: the gradient of 'w' has shape (2,), expected (3,); take it by grad() of these params
    """
    if params is None:
        raise ValueError(
            f"{name}.update: got no params; pass the parameters that the gradients belong to: "
            "update(grads, state, params)"
        )
    p_leaves, structure = tree.flatten(params)
    g_leaves = tree.flatten_as(structure, grads)
    if g_leaves is None:
        raise ValueError(
            f"{name}.update: the gradients are not a tree like the parameters: {differing_paths(grads, params)}; take "
            "them by grad() of these params"
        )
    are_tensors = all(issubclass(kind, Tensor) for kind in {type(g) for g in g_leaves})
    if not are_tensors or [g.shape for g in g_leaves] != [p.shape for p in p_leaves]:
        for index, (g, p) in enumerate(zip(g_leaves, p_leaves, strict=True)):
            if not isinstance(g, Tensor) or g.shape != p.shape:
                raise _gradient_error(name, g, p, tree.paths(params)[index])
    dtypes = [p.dtype for p in p_leaves]
    distinct = set(dtypes)
    if distinct.isdisjoint(COMPUTE_DTYPES) and dtypes == [g.dtype for g in g_leaves]:
        return tree.unflatten(structure, g_leaves), distinct
    for index, (g, p) in enumerate(zip(g_leaves, p_leaves, strict=True)):
        if g.is_complex() and not p.is_complex():
            raise _gradient_error(name, g, p, tree.paths(params)[index])
    cast = [g.to(COMPUTE_DTYPES.get(dtype, dtype)) for g, dtype in zip(g_leaves, dtypes, strict=True)]
    return tree.unflatten(structure, cast), distinct


def as_pair(result: Any, owner: str, expected: str) -> tuple[Tree, Tree]:
    """Returns `result` if it is a pair, as every update has to return."""
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        size = f" of {len(result)}" if isinstance(result, (tuple, list)) else ""
        raise ValueError(f"{owner} returned a {type(result).__name__}{size}, expected the pair {expected}")
    first, second = result
    return first, second


def foreign_state_error(name: str) -> ValueError:
    """Returns the error for a state that comes from another optimizer's `init`."""
    return ValueError(
        f"{name}: update() got the state of another optimizer; pass what its own init(params) or last update() returned"
    )


def differing_paths(values: Tree, params: Tree) -> str:
    """Names up to three paths that `values` lacks, and up to three that `params` does not have."""
    theirs, ours = tree.paths(values), tree.paths(params)
    return (
        f"missing {[p for p in ours if p not in theirs][:3] or 'nothing'}, "
        f"unexpected {[p for p in theirs if p not in ours][:3] or 'nothing'}"
    )


def describe_mismatch(value: Any, p: Tensor, path: str) -> str:
    """Describes how a gradient or an update does not match the parameter `p`."""
    if not isinstance(value, Tensor):
        return f"'{path}' is {value!r}, expected shape {tuple(p.shape)}"
    if value.shape != p.shape:
        return f"'{path}' has shape {tuple(value.shape)}, expected {tuple(p.shape)}"
    return f"'{path}' has dtype {value.dtype}, expected a real one as {p.dtype} of the parameter is"


def _gradient_error(name: str, g: Any, p: Tensor, path: str) -> ValueError:
    return ValueError(
        f"{name}.update: the gradient of {describe_mismatch(g, p, path)}; take it by grad() of these params"
    )
