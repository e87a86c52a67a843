"""Mapping functions over trees, splitting a tree in two, and combining the parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funcdl.tree.containers import Tree, children, flatten, flatten_as, like, structure, unflatten
from funcdl.tree.keypaths import difference, join_path, paths


def map(f: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """Applies `f` to each leaf of `tree` and the corresponding leaves of `rest`.

    Raises:
        ValueError: a tree in `rest` has a different structure.

    >>> map(lambda a, b: a + b, {"w": 1, "b": (2,)}, {"w": 10, "b": (20,)})
    {'w': 11, 'b': (22,)}
    """
    first, shape = flatten(tree)
    others = []
    for position, other in enumerate(rest, 1):
        more = flatten_as(shape, other)
        if more is None:
            raise ValueError(f"tree.map: tree {position} differs from the first one: {difference(tree, other)}")
        others.append(more)
    return unflatten(shape, [f(*group) for group in zip(first, *others, strict=True)])


def map_with_path(f: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """Like `map`, but `f` gets the path of the leaf as its first argument.

    >>> map_with_path(lambda path, leaf: f"{path}={leaf}", {"w": 1, "b": (2,)})
    {'w': 'w=1', 'b': ('b.0=2',)}
    """
    return map(f, unflatten(structure(tree), paths(tree)), tree, *rest)


def partition(tree: Tree, predicate: Callable[[str, Any], bool]) -> tuple[Tree, Tree]:
    """Splits `tree` into the leaves for which `predicate(path, leaf)` is true and the others.

    Both results have the containers of `tree`, with an empty tuple in place of each leaf of the other part. Each part
    can therefore be mapped, flattened or differentiated on its own. `combine` is the inverse.

    >>> head, body = partition({"body": 1, "head": 2}, lambda path, leaf: path.startswith("head"))
    >>> head, body
    ({'body': (), 'head': 2}, {'body': 1, 'head': ()})
    >>> combine(head, body)
    {'body': 1, 'head': 2}
    """
    values, shape = flatten(tree)
    chosen = [predicate(path, leaf) for path, leaf in zip(paths(tree), values, strict=True)]
    return (
        unflatten(shape, [leaf if c else () for leaf, c in zip(values, chosen, strict=True)]),
        unflatten(shape, [() if c else leaf for leaf, c in zip(values, chosen, strict=True)]),
    )


def combine(first: Tree, second: Tree) -> Tree:
    """Combines two trees from `partition`: fills the gaps in `first` with the leaves of `second`.

    Raises:
        ValueError: both trees have a leaf at the same path.
    """
    return _combine(first, second, None)


def _combine(first: Tree, second: Tree, path: str | None) -> Tree:
    if type(first) is tuple and not first:
        return second
    if type(second) is tuple and not second:
        return first
    mine, theirs = children(first), children(second)
    by_key = dict(theirs or ())
    if mine is None or theirs is None or len(mine) != len(by_key) or any(key not in by_key for key, _ in mine):
        where = path or ""
        raise ValueError(f"tree.combine: both trees have something at '{where}'; they must come from one partition()")
    return like(first, [_combine(child, by_key[key], join_path(path, key)) for key, child in mine])
