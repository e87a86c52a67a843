"""Whether a compiled graph is valid for the arguments of a call: their structure, their tensors, torch's settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optree
import torch
from torch import Tensor

from funcdl import _torch, tree
from funcdl.tree import Structure, Tree


class Guard:
    """What a graph depends on: all leaves' shapes, strides, dtypes and devices, which are one tensor, global settings.

    The checks are Dynamo's own, a tenth of a microsecond for each leaf. Its guards on what a function closes over would
    take longer than the kernels of a small step; they are left out.
    """

    def __init__(self, leaves: list[Tensor]) -> None:
        self.settings = _torch.GlobalStateGuard()
        self.default_device = _default_device()
        self.last_places = _last_places(leaves)
        unique = [leaves[index] for index in sorted(set(self.last_places))]
        self.tensors = _torch.TensorGuards(*unique, dynamic_dims_sizes=None, dynamic_dims_strides=None)
        self.all_unique = len(unique) == len(leaves)

    def holds(self, leaves: list[Tensor]) -> bool:
        """Whether the graph serves for these leaves now."""
        if not self.settings.check() or self.default_device != _default_device():
            return False
        if self.all_unique:
            return self.tensors.check(*leaves)  # refuses one tensor in two places
        return _last_places(leaves) == self.last_places and self.tensors.check(
            *[leaves[index] for index in sorted(set(self.last_places))]
        )


def _default_device() -> torch.device | None:
    """Where `torch.zeros` and its kin make a tensor; None for the CPU, where nothing else has been set."""
    return torch.get_default_device() if _torch.torch_function_modes() else None


def _last_places(leaves: list[Tensor]) -> list[int]:
    """For each leaf the last place where the same tensor is among the leaves."""
    last = {id(leaf): index for index, leaf in enumerate(leaves)}
    return [last[id(leaf)] for leaf in leaves]


def leaf_lookup(structure: Structure) -> Callable[[Tree], list[Any] | None]:
    """Returns a function that returns the leaves of a tree of that structure, or None for a tree of another one.

    A dict of another kind, or with its keys in another order, is another structure here: a function may walk it. A
    container that stands in the place of a leaf is returned as if it were one.

    >>> find = leaf_lookup(tree.structure([1, {"a": 2, "b": 3}]))
    >>> find([4, {"a": 5, "b": 6}]), find([4, {"b": 6, "a": 5}]), find([(7, 8), {"a": 5, "b": 6}])
    ([4, 5, 6], None, [(7, 8), 5, 6])
    """
    dicts = _dicts(tree.unflatten(structure, range(structure.num_leaves)))

    def find(candidate: Tree) -> list[Any] | None:
        leaves = tree.flatten_up_to(structure, candidate)
        return leaves if leaves is not None and (dicts is None or _has_dicts(candidate, dicts)) else None

    return find


def _dicts(part: Tree) -> Any:
    """The type and the ordered keys of each dict in a tree, nested as they are; None where there are none."""
    if isinstance(part, int):  # a leaf
        return None
    below = [(place, dicts) for place, child in _children(part) if (dicts := _dicts(child))]
    if isinstance(part, dict):
        return type(part), list(part), below
    return (type(part), None, below) if below else None


def _has_dicts(candidate: Tree, dicts: Any) -> bool:
    """Whether a tree has such dicts: for optree all kinds of dict, in whatever order, are the same."""
    kind, keys, below = dicts
    if keys is not None:
        if type(candidate) is not kind or [*candidate] != keys:
            return False
    elif not issubclass(kind, (tuple, list)):
        candidate = dict(_children(candidate))
    for place, further in below:  # noqa: SIM110 (`all` of a generator takes twice as long)
        if not _has_dicts(candidate[place], further):
            return False
    return True


def _children(part: Tree) -> list[tuple[Any, Any]]:
    if isinstance(part, dict):
        return list(part.items())
    return list(enumerate(optree.tree_flatten_one_level(part)[0]))
