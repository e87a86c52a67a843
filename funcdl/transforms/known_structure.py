"""Finding the leaves of a tree, call after call, where the last one's structure is expected again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from funcdl import tree
from funcdl.tree import Structure, Tree


def leaves_finder(structure: Structure) -> Callable[[Tree], list[Any] | None]:
    """Returns a function that returns the leaves of a tree of that structure, or None for a tree of another one.

    A container that stands in the place of a leaf is returned as if it were one.

    >>> find = leaves_finder(tree.structure([1, {"a": 2}]))
    >>> find([3, {"a": 4}]), find([3, {"b": 4}]), find([(3, 4), {"a": 5}])
    ([3, 4], None, [(3, 4), 5])
    """
    dicts = _dicts(structure)

    def find(whole: Tree) -> list[Any] | None:
        found = tree.flatten_up_to(structure, whole)
        return found if found is not None and (dicts is None or _has_dicts(whole, dicts)) else None

    return find


def _dicts(structure: Structure) -> Any:
    """The type of each dict in a tree of that structure, the order of an OrderedDict, and where they are."""
    parts = zip(structure.entries(), structure.children(), strict=True)
    below = [(entry, dicts) for entry, child in parts if (dicts := _dicts(child))]
    kind = structure.type if structure.type and issubclass(structure.type, dict) else None
    return (kind, structure.entries() if kind is OrderedDict else None, below) if kind or below else None


def _has_dicts(whole: Tree, dicts: Any) -> bool:
    """Whether a tree has them: optree takes all kinds of dict, in whatever order, for one another."""
    kind, order, below = dicts
    if (kind and type(whole) is not kind) or (order and list(whole) != order):
        return False
    return all(_has_dicts(whole[entry], dicts) for entry, dicts in below)
