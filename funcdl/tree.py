"""Trees of tensors: dicts, tuples, lists and NamedTuples, nested, with tensors as leaves and no `None`.

Outside a graph optree walks the tree. Inside a graph that Dynamo is tracing optree stumbles over empty dicts, which
every model without buffers has, so there a short recursion does the same work in the same order (dict keys sorted).
A *path* is a leaf's keys joined by dots, as in `state_dict()`: `"layer1.0.weight"`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import optree
import torch
from torch import Tensor

Tree = Any  # a nested container of tensors; Python's type system cannot say more usefully
Structure = Any  # what `flatten` returns beside the leaves: opaque, compare it with ==


def flatten(tree: Tree) -> tuple[list[Any], Structure]:
    """Returns the leaves of `tree`, dict keys in sorted order, and the structure that `unflatten` rebuilds it from.

    >>> leaves, structure = flatten({"b": (3, 4), "a": 1, "none": {}})
    >>> leaves
    [1, 3, 4]
    >>> unflatten(structure, [10, 30, 40])
    {'b': (30, 40), 'a': 10, 'none': {}}
    """
    if torch.compiler.is_dynamo_compiling():
        leaves: list[Any] = []
        return leaves, _flatten_into(leaves, tree)
    return optree.tree_flatten(tree, none_is_leaf=True)  # type: ignore[return-value]


def flatten_up_to(structure: Structure, tree: Tree) -> list[Any] | None:
    """Returns what stands in `tree` where a tree of that `structure` has leaves, or None if its containers differ.

    Faster than `flatten`, as no types of leaves are looked up. Dicts of all kinds are alike, and in whatever order.

    >>> flatten_up_to(structure({"a": 1, "b": 2}), {"b": (4, 5), "a": 3})
    [3, (4, 5)]
    """
    try:
        return structure.flatten_up_to(tree)
    except ValueError:
        return None


def flatten_as(structure: Structure, tree: Tree) -> list[Any] | None:
    """As `flatten_up_to`, but returns None also if a container stands in the place of a leaf.

    >>> flatten_as(structure({"a": 1, "b": 2}), {"b": 4, "a": 3})
    [3, 4]
    """
    if torch.compiler.is_dynamo_compiling():
        values = leaves(tree)  # Dynamo of torch 2.11 compares no NamedTuples
        return values if len(values) == len(leaves(structure)) else None
    found = flatten_up_to(structure, tree)
    one_of_each_type = {type(value): value for value in found or ()}.values()
    return found if all(optree.tree_is_leaf(value, none_is_leaf=True) for value in one_of_each_type) else None


def unflatten(structure: Structure, leaves: Any) -> Tree:
    """Builds the tree of that `structure` with these `leaves`: the inverse of `flatten`."""
    if isinstance(structure, optree.PyTreeSpec):
        return optree.tree_unflatten(structure, leaves)
    return rebuild(structure, leaves)


def leaves(tree: Tree) -> list[Any]:
    """Returns the leaves of `tree` in the order of `flatten`."""
    return flatten(tree)[0]


def structure(tree: Tree) -> Structure:
    """Returns what is left of `tree` without its leaves, for comparing with `==`."""
    return flatten(tree)[1]


def map(f: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """Applies `f` to each leaf of `tree` and the leaves at the same place in `rest`.

    Raises:
        ValueError: a tree in `rest` has another structure.

    >>> map(lambda a, b: a + b, {"w": 1, "b": (2,)}, {"w": 10, "b": (20,)})
    {'w': 11, 'b': (22,)}
    """
    first, shape = flatten(tree)
    others = []
    for position, other in enumerate(rest, 1):
        more = flatten_as(shape, other)
        if more is None:
            raise ValueError(f"tree.map: tree {position} differs from the first one: {_difference(tree, other)}")
        others.append(more)
    return unflatten(shape, [f(*group) for group in zip(first, *others, strict=True)])


def leaves_with_paths(tree: Tree) -> list[tuple[str, Any]]:
    """Returns `(path, leaf)` pairs in the order of `flatten`.

    >>> leaves_with_paths({"fc": {"weight": 1, "bias": 2}, "scale": (3,)})
    [('fc.bias', 2), ('fc.weight', 1), ('scale.0', 3)]
    """
    return list(_walk(tree, ""))


def paths(tree: Tree) -> list[str]:
    """Returns the path of each leaf in the order of `flatten`."""
    return [path for path, _ in _walk(tree, "")]


def map_with_path(f: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """As `map`, with the leaf's path as the first argument of `f`.

    >>> map_with_path(lambda path, leaf: f"{path}={leaf}", {"w": 1, "b": (2,)})
    {'w': 'w=1', 'b': ('b.0=2',)}
    """
    return map(f, unflatten(structure(tree), paths(tree)), tree, *rest)


def partition(tree: Tree, predicate: Callable[[str, Any], bool]) -> tuple[Tree, Tree]:
    """Splits `tree` into the leaves for which `predicate(path, leaf)` holds and the others.

    Both results have the containers of `tree`; a leaf that went to the other side leaves an empty tuple, so either
    side can be mapped, flattened or differentiated as it is. `combine` puts them together again.

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
    """Fills the holes that `partition` left in `first` with what stands there in `second`.

    Raises:
        ValueError: both trees have a leaf at the same place.
    """
    return _combine(first, second, "")


@dataclass(frozen=True)
class At:
    """The place `path` in `tree`, for reading it or for a changed copy of the tree."""

    tree: Tree
    path: str

    def get(self) -> Any:
        """Returns what stands at the path: a leaf or a subtree."""
        found = self.tree
        for depth, name in enumerate(keys := self.path.split(".")):
            found = _child(found, name, ".".join(keys[:depth]))
        return found

    def set(self, value: Any) -> Tree:
        """Returns a copy of the tree with `value` at the path."""
        return self.apply(lambda _: value)

    def apply(self, f: Callable[[Any], Any]) -> Tree:
        """Returns a copy of the tree with `f(what stands there)` at the path."""
        self.get()  # a wrong path is named before anything is built
        return _replace(self.tree, self.path.split("."), f)


def at(tree: Tree, path: str) -> At:
    """Addresses one leaf or subtree: `at(tree, path).get()`, `.set(value)`, `.apply(f)`. `tree` is left as it is.

    Raises:
        KeyError: there is nothing at `path`.

    >>> at({"fc": {"weight": 1, "bias": 2}}, "fc.bias").apply(lambda bias: -bias)
    {'fc': {'weight': 1, 'bias': -2}}
    """
    return At(tree, path)


def ravel(tree: Tree) -> tuple[Tensor, Callable[[Tensor], Tree]]:
    """Joins all leaves into one vector; also returns the function that cuts such a vector into the tree again.

    The vector has the dtype that the leaves promote to; the function returns each leaf in its own dtype.

    >>> vector, unravel = ravel({"w": torch.ones(2, 2), "b": torch.zeros(1)})
    >>> vector
    tensor([0., 1., 1., 1., 1.])
    >>> unravel(2 * vector)["w"].shape
    torch.Size([2, 2])
    """
    values, shape = flatten(tree)
    skeleton = unflatten(shape, range(len(values)))  # unlike `shape`, good inside a trace that began later
    forms = [(leaf.numel(), leaf.shape, leaf.dtype) for leaf in values]

    def unravel(vector: Tensor) -> Tree:
        pieces = vector.split([size for size, _, _ in forms])
        return rebuild(skeleton, [p.view(form).to(dtype) for p, (_, form, dtype) in zip(pieces, forms, strict=True)])

    return torch.cat([leaf.reshape(-1) for leaf in values]) if values else torch.zeros(0), unravel


def stack(trees: list[Tree]) -> Tree:
    """Stacks trees of one structure leaf by leaf along a new first dimension, as `vmap` over members wants them.

    >>> stack([{"w": torch.zeros(3)}, {"w": torch.ones(3)}])["w"].shape
    torch.Size([2, 3])
    """
    return map(lambda *leaves: torch.stack(leaves), *trees)


def unstack(tree: Tree) -> list[Tree]:
    """Undoes `stack`: a list of trees, one for each index of the leaves' first dimension."""
    values, shape = flatten(tree)
    return [unflatten(shape, list(member)) for member in zip(*(v.unbind() for v in values), strict=True)]


def size(tree: Tree) -> int:
    """Returns the number of elements in all leaves together.

    >>> size({"weight": torch.zeros(3, 2), "bias": torch.zeros(3)})
    9
    """
    return sum(leaf.numel() for leaf in leaves(tree))


def zeros_like(tree: Tree) -> Tree:
    """Returns a tree of zeros with the shapes, dtypes and devices of `tree`."""
    return map(torch.zeros_like, tree)


def global_norm(tree: Tree) -> Tensor:
    """Returns the Euclidean norm of all leaves taken as one vector, as a 0-dim tensor.

    It is the norm of the leaves' norms, as in `torch.nn.utils.get_total_norm`.

    >>> global_norm({"a": torch.tensor([3.0]), "b": torch.tensor([[4.0]])})
    tensor(5.)
    """
    values = leaves(tree)
    if not values:
        return torch.zeros(())
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(leaf) for leaf in values]))


def is_namedtuple(tree: Tree) -> bool:
    """Whether `tree` is an instance of a NamedTuple class."""
    return isinstance(tree, tuple) and hasattr(tree, "_fields")


def rebuild(skeleton: Tree, leaves: Any) -> Tree:
    """Puts `leaves` in place of the positions that stand in `skeleton`: what `unflatten` does while Dynamo traces."""
    if isinstance(skeleton, dict):
        return _like_dict(skeleton, {key: rebuild(child, leaves) for key, child in skeleton.items()})
    if isinstance(skeleton, (tuple, list)):
        return _like(skeleton, [rebuild(child, leaves) for child in skeleton])
    return leaves[skeleton]


def _flatten_into(leaves: list[Any], tree: Tree) -> Tree:
    if isinstance(tree, dict):
        children = {key: _flatten_into(leaves, tree[key]) for key in _keys(tree)}
        return _like_dict(tree, children)  # as optree: leaves by sorted key, the dict in its own order
    if isinstance(tree, (tuple, list)):
        return _like(tree, [_flatten_into(leaves, child) for child in tree])
    leaves.append(tree)
    return len(leaves) - 1


def _keys(tree: dict[str, Tree]) -> list[str]:
    return list(tree) if isinstance(tree, OrderedDict) else sorted(tree)  # as optree; a state_dict() is an OrderedDict


def _like_dict(like: dict[str, Tree], children: dict[str, Any]) -> dict[str, Any]:
    pairs = {key: children[key] for key in like}
    return OrderedDict(pairs) if isinstance(like, OrderedDict) else pairs


def _like(sequence: Any, children: list[Any]) -> Any:
    if is_namedtuple(sequence):
        return type(sequence)(*children)
    return tuple(children) if isinstance(sequence, tuple) else children


def _children(tree: Tree) -> list[tuple[str, Any]] | None:
    """The named children of a container, or None for a leaf."""
    if isinstance(tree, dict):
        return [(str(key), tree[key]) for key in _keys(tree)]
    if is_namedtuple(tree):
        return list(zip(tree._fields, tree, strict=True))
    if isinstance(tree, (tuple, list)):
        return [(str(index), child) for index, child in enumerate(tree)]
    return None


def _walk(tree: Tree, path: str) -> Iterator[tuple[str, Any]]:
    children = _children(tree)
    if children is None:
        yield path, tree
        return
    for name, child in children:
        yield from _walk(child, f"{path}.{name}" if path else name)


def _child(tree: Tree, name: str, path: str) -> Any:
    children = dict(_children(tree) or ())
    if name not in children:
        where = f"'{path}'" if path else "the tree"
        raise KeyError(f"tree.at: no '{name}' in {where}, which has {', '.join(children) or 'no children'}")
    return children[name]


def _replace(tree: Tree, keys: list[str], f: Callable[[Any], Any]) -> Tree:
    if not keys:
        return f(tree)
    if isinstance(tree, dict):
        children = {k: _replace(child, keys[1:], f) if str(k) == keys[0] else child for k, child in tree.items()}
        return _like_dict(tree, children)
    return _like(tree, [_replace(c, keys[1:], f) if name == keys[0] else c for name, c in _children(tree) or []])


def _combine(first: Tree, second: Tree, path: str) -> Tree:
    if isinstance(first, tuple) and not first:
        return second
    if isinstance(second, tuple) and not second:
        return first
    mine, theirs = _children(first), _children(second)
    if mine is None or theirs is None or [name for name, _ in mine] != [name for name, _ in theirs]:
        raise ValueError(f"tree.combine: both trees have something at '{path}'; they must come from one partition()")
    joined = [
        _combine(a, b, f"{path}.{name}" if path else name) for (name, a), (_, b) in zip(mine, theirs, strict=True)
    ]
    if isinstance(first, dict):
        return _like_dict(first, dict(zip(_keys(first), joined, strict=True)))
    return _like(first, joined)


def _difference(tree: Tree, other: Tree) -> str:
    mine, theirs = paths(tree), paths(other)
    missing = [path for path in mine if path not in theirs]
    extra = [path for path in theirs if path not in mine]
    if missing or extra:
        return f"missing {missing[:3] or 'nothing'}, unexpected {extra[:3] or 'nothing'}"
    return "the same paths in containers of other types"
