"""Finding the leaves of a tree, call after call, where the last one's structure is expected again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optree

from funcdl import tree
from funcdl.tree import Structure, Tree


def leaves_finder(structure: Structure) -> Callable[[Tree], list[Any] | None]:
    """Returns a function that returns the leaves of a tree of that structure, or None for a tree of another one.

    A dict of another kind, or with its keys in another order, is another structure here: a function may walk it. A
    container that stands in the place of a leaf is returned as if it were one.

    >>> find = leaves_finder(tree.structure([1, {"a": 2, "b": 3}]))
    >>> find([4, {"a": 5, "b": 6}]), find([4, {"b": 6, "a": 5}]), find([(7, 8), {"a": 5, "b": 6}])
    ([4, 5, 6], None, [(7, 8), 5, 6])
    """
    dicts = _dicts(tree.unflatten(structure, range(structure.num_leaves)))

    def find(whole: Tree) -> list[Any] | None:
        found = tree.flatten_up_to(structure, whole)
        return found if found is not None and (dicts is None or _has_dicts(whole, dicts)) else None

    return find


def _dicts(part: Tree) -> Any:
    """The type of each dict in a tree, its keys in their order, and what is below; likewise of what holds dicts."""
    if isinstance(part, int):  # a leaf
        return None
    below = [(place, dicts) for place, child in _children(part) if (dicts := _dicts(child))]
    if isinstance(part, dict):
        return type(part), list(part), below
    return (type(part), None, below) if below else None


def _has_dicts(whole: Tree, dicts: Any) -> bool:
    """Whether a tree has them: optree takes all kinds of dict, in whatever order, for one another."""
    kind, keys, below = dicts
    if keys is not None:
        if type(whole) is not kind or [*whole] != keys:
            return False
    elif not issubclass(kind, (tuple, list)):
        whole = dict(_children(whole))
    for place, further in below:  # noqa: SIM110 (`all` of a generator takes twice as long)
        if not _has_dicts(whole[place], further):
            return False
    return True


def _children(part: Tree) -> list[tuple[Any, Any]]:
    if isinstance(part, dict):
        return list(part.items())
    return list(enumerate(optree.tree_flatten_one_level(part)[0]))
