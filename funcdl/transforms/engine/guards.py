"""Guards: whether a compiled graph is valid for the arguments of a call and for torch's current settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optree
import torch
from torch import Tensor

from funcdl import _torch, tree
from funcdl.tree import Structure, Tree


class Guard:
    """What a graph depends on besides the structure of its arguments.

    This is the shape, stride, dtype and device of each leaf, which leaves are the same tensor, and torch's global
    settings. The checks are Dynamo's own and take a tenth of a microsecond per leaf. There are no guards on what a
    function closes over, because they would take longer than the kernels of a small step.
    """

    def __init__(self, leaves: list[Tensor]) -> None:
        self.settings = _torch.GlobalStateGuard()
        self.default_device = _default_device()
        self.last_positions = _last_positions(leaves)
        unique = [leaves[index] for index in sorted(set(self.last_positions))]
        self.tensors = _torch.TensorGuards(*unique, dynamic_dims_sizes=None, dynamic_dims_strides=None)
        self.all_unique = len(unique) == len(leaves)

    def holds(self, leaves: list[Tensor]) -> bool:
        """Whether the graph is valid for these leaves and the current settings."""
        if not self.settings.check() or self.default_device != _default_device():
            return False
        if self.all_unique:
            return self.tensors.check(*leaves)  # also fails if two leaves are the same tensor
        return _last_positions(leaves) == self.last_positions and self.tensors.check(
            *[leaves[index] for index in sorted(set(self.last_positions))]
        )


def _default_device() -> torch.device | None:
    """Returns the default device of `torch.zeros` and other factories; None if it was never set, which is the CPU."""
    return torch.get_default_device() if _torch.torch_function_modes() else None


def _last_positions(leaves: list[Tensor]) -> list[int]:
    """Returns, for each leaf, the last position among the leaves at which the same tensor occurs."""
    last = {id(leaf): index for index, leaf in enumerate(leaves)}
    return [last[id(leaf)] for leaf in leaves]


def leaf_lookup(structure: Structure) -> Callable[[Tree], list[Any] | None]:
    """Returns a function that gets a tree and returns its leaves, or None if the tree has a different structure.

    The type of a dict and the order of its keys count as structure here, because a function may iterate over the dict.
    A container at the position of a leaf is returned as if it were a leaf.

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
    """Returns the type and the ordered keys of each dict in a tree, nested like the tree; None if there is no dict."""
    if isinstance(part, int):  # a leaf
        return None
    below = [(place, dicts) for place, child in _children(part) if (dicts := _dicts(child))]
    if isinstance(part, dict):
        return type(part), list(part), below
    return (type(part), None, below) if below else None


def _has_dicts(candidate: Tree, dicts: Any) -> bool:
    """Whether a tree has these `_dicts`. For optree the type of a dict and the order of its keys make no difference."""
    kind, keys, below = dicts
    if keys is not None:
        if type(candidate) is not kind or [*candidate] != keys:
            return False
    elif not issubclass(kind, (tuple, list)):
        candidate = dict(_children(candidate))
    for place, further in below:  # noqa: SIM110 (`all` with a generator takes twice as long)
        if not _has_dicts(candidate[place], further):
            return False
    return True


def _children(part: Tree) -> list[tuple[Any, Any]]:
    if isinstance(part, dict):
        return list(part.items())
    return list(enumerate(optree.tree_flatten_one_level(part)[0]))
