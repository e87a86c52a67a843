"""Containers of trees: flattening a tree into leaves and structure, and rebuilding it.

Normally optree does this. While Dynamo traces, optree fails on empty dicts, which every model without buffers has. A
short recursion then does the same work in the same order, with dict keys sorted.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from typing import Any, TypeAlias

import optree
import torch
from optree.utils import total_order_sorted
from torch import Tensor

Tree: TypeAlias = Any
"""A tensor, or a dict, tuple, list, deque, NamedTuple or registered container of trees; None is a tree without leaves.

The type is `Any`, because with a more precise one, callers would have to cast each tree to the containers they expect.
"""

Structure: TypeAlias = Any
"""The containers of a tree without its leaves, as `flatten` returns it; can be compared with `==`."""


def flatten(tree: Tree) -> tuple[list[Any], Structure]:
    """Returns the leaves of `tree`, with dict keys in sorted order, and its structure, for `unflatten`.

    >>> leaves, structure = flatten({"b": (3, 4), "a": 1, "none": None})
    >>> leaves
    [1, 3, 4]
    >>> unflatten(structure, [10, 30, 40])
    {'b': (30, 40), 'a': 10, 'none': None}
    """
    if torch.compiler.is_dynamo_compiling():
        leaves: list[Any] = []
        return leaves, _flatten_into(leaves, tree)
    return optree.tree_flatten(tree)  # type: ignore[return-value]


def flatten_up_to(structure: Structure, tree: Tree) -> list[Any] | None:
    """Returns the parts of `tree` at the positions where `structure` has leaves, or None if the containers differ.

    It is faster than `flatten`, because it does not check whether the parts are leaves. Types of dicts and the order of
    their keys are ignored.

    >>> flatten_up_to(structure({"a": 1, "b": 2}), {"b": (4, 5), "a": 3})
    [3, (4, 5)]
    """
    try:
        return structure.flatten_up_to(tree)
    except ValueError:
        return None


def flatten_as(structure: Structure, tree: Tree) -> list[Any] | None:
    """Like `flatten_up_to`, but returns None also if a container stands in the place of a leaf.

    >>> flatten_as(structure({"a": 1, "b": 2}), {"b": 4, "a": 3})
    [3, 4]
    """
    if torch.compiler.is_dynamo_compiling():
        values: list[Any] = []
        return values if _pair(structure, tree, values) else None
    found = flatten_up_to(structure, tree)
    one_of_each_type = {type(value): value for value in found or ()}.values()
    return found if all(optree.tree_is_leaf(value) for value in one_of_each_type) else None


def unflatten(structure: Structure, leaves: Any) -> Tree:
    """Builds a tree from its `structure` and `leaves`: the inverse of `flatten`."""
    if isinstance(structure, optree.PyTreeSpec):
        return optree.tree_unflatten(structure, leaves)
    return rebuild(structure, leaves)


def leaves(tree: Tree) -> list[Any]:
    """Returns the leaves of `tree` in the order of `flatten`."""
    return flatten(tree)[0]


def structure(tree: Tree) -> Structure:
    """Returns the structure of `tree`: its containers without the leaves."""
    return flatten(tree)[1]


def children(tree: Tree) -> list[tuple[Any, Tree]] | None:
    """Returns the `(key, child)` pairs of a container in the order of `flatten`, or None for a leaf.

    The keys, as strings joined by dots, are the paths of the leaves.

    >>> children({"b": 1, "a": (2, 3)}), children(None), children(1)
    ([('a', (2, 3)), ('b', 1)], [], None)
    """
    kind = type(tree)
    if isinstance(tree, Tensor):
        return None
    if kind is dict or kind is OrderedDict or kind is defaultdict:
        return [(key, tree[key]) for key in _keys(tree)]
    if kind is tuple or kind is list or kind is deque:
        return list(enumerate(tree))
    if tree is None:
        return []
    named = is_namedtuple(tree)
    if named and torch.compiler.is_dynamo_compiling():  # some versions of Dynamo cannot trace the code below
        return list(zip(tree._fields, tree, strict=True))
    node = optree.register_pytree_node.get(kind)
    if node is None:
        return None
    if node.type is not kind:  # the shared node type of all NamedTuples and struct sequences (torch.return_types)
        return list(zip(tree._fields if named else optree.structseq_fields(tree), tree, strict=True))
    parts, _, *entries = _flattened(tree, node)
    parts = list(parts)
    return list(zip(range(len(parts)) if not entries or entries[0] is None else entries[0], parts, strict=True))


def is_namedtuple(tree: Tree) -> bool:
    """Whether `tree` is an instance of a NamedTuple class."""
    return isinstance(tree, tuple) and hasattr(tree, "_fields")


def rebuild(skeleton: Tree, leaves: Any) -> Tree:
    """Replaces each index in `skeleton` with the leaf of that index. Unlike `unflatten`, it needs no optree."""
    parts = children(skeleton)
    if parts is None:
        return leaves[skeleton]
    return like(skeleton, [rebuild(child, leaves) for _, child in parts])


def like(tree: Tree, parts: list[Any]) -> Tree:
    """Returns a container like `tree`, with its keys in the same order, and with `parts` as its `children`."""
    kind = type(tree)
    if isinstance(tree, dict):
        by_key = dict(zip(_keys(tree), parts, strict=True))
        pairs = {key: by_key[key] for key in tree}
        if isinstance(tree, defaultdict):
            return defaultdict(tree.default_factory, pairs)
        return OrderedDict(pairs) if kind is OrderedDict else pairs
    if kind is list:
        return parts
    if kind is tuple:
        return tuple(parts)
    if kind is deque:
        return deque(parts, tree.maxlen)
    if tree is None:
        return None
    if is_namedtuple(tree) and torch.compiler.is_dynamo_compiling():
        return kind(*parts)
    node: Any = optree.register_pytree_node.get(kind)
    return node.unflatten_func(_flattened(tree, node)[1], tuple(parts))


def _flatten_into(leaves: list[Any], tree: Tree) -> Tree:
    parts = children(tree)
    if parts is None:
        leaves.append(tree)
        return len(leaves) - 1
    return like(tree, [_flatten_into(leaves, child) for _, child in parts])


def _pair(skeleton: Tree, tree: Tree, found: list[Any]) -> bool:
    """Appends to `found` the parts of `tree` at the leaves of `skeleton`; returns whether the containers match."""
    mine, theirs = children(skeleton), children(tree)
    if mine is None or theirs is None:
        found.append(tree)
        return mine is theirs
    if not (isinstance(skeleton, dict) and isinstance(tree, dict)) and type(skeleton) is not type(tree):
        return False
    by_key = dict(theirs)
    return len(mine) == len(theirs) and all(key in by_key and _pair(part, by_key[key], found) for key, part in mine)


def _keys(tree: dict[Any, Tree]) -> list[Any]:
    if isinstance(tree, OrderedDict):
        return list(tree)  # as in optree
    try:
        return sorted(tree)
    except TypeError:  # keys of several types
        return total_order_sorted(tree)


def _flattened(tree: Tree, node: Any) -> Any:
    """Returns the children of a registered container and its auxiliary data."""
    # The method is called directly, because Dynamo cannot trace optree's wrapper of it.
    return tuple(tree.__tree_flatten__() if hasattr(tree, "__tree_flatten__") else node.flatten_func(tree))
