"""Trees of tensors: dicts, tuples, lists, deques and NamedTuples, nested, with tensors as leaves.

`None` is a tree without leaves, as in JAX, and what is registered in optree's global namespace, as by
`optree.dataclasses.dataclass(namespace="")`, is a container too. Of several trees the first one gives the order of the
keys in a result, its own; the others are paired with it by key.

Outside a graph optree walks the tree. Inside a graph that Dynamo is tracing optree stumbles over empty dicts, which
every model without buffers has, so there a short recursion does the same work in the same order (dict keys sorted).
A *path* is a leaf's keys joined by dots, as in `state_dict()`: `"layer1.0.weight"`.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import optree
import torch
from optree.utils import total_order_sorted
from torch import Tensor

from funcdl.context import is_transformed

Tree = Any  # a nested container of tensors; Python's type system cannot say more usefully
Structure = Any  # what `flatten` returns beside the leaves: opaque, compare it with ==


def flatten(tree: Tree) -> tuple[list[Any], Structure]:
    """Returns the leaves of `tree`, dict keys in sorted order, and the structure that `unflatten` rebuilds it from.

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
        values: list[Any] = []
        return values if _pair(structure, tree, values) else None
    found = flatten_up_to(structure, tree)
    one_of_each_type = {type(value): value for value in found or ()}.values()
    return found if all(optree.tree_is_leaf(value) for value in one_of_each_type) else None


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
            raise ValueError(f"tree.map: tree {position} differs from the first one: {difference(tree, other)}")
        others.append(more)
    return unflatten(shape, [f(*group) for group in zip(first, *others, strict=True)])


def leaves_with_paths(tree: Tree) -> list[tuple[str, Any]]:
    """Returns `(path, leaf)` pairs in the order of `flatten`.

    >>> leaves_with_paths({"fc": {"weight": 1, "bias": 2}, "scale": (3,)})
    [('fc.bias', 2), ('fc.weight', 1), ('scale.0', 3)]
    """
    return list(_walk(tree))


def paths(tree: Tree) -> list[str]:
    """Returns the path of each leaf in the order of `flatten`."""
    return [path for path, _ in _walk(tree)]


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
    return _combine(first, second, None)


@dataclass(frozen=True)
class At:
    """The place `path` in `tree`, for reading it or for a changed copy of the tree."""

    tree: Tree
    path: str

    def get(self) -> Any:
        """Returns what stands at the path: a leaf or a subtree."""
        return _place(self.tree, self.path)[0]

    def set(self, value: Any) -> Tree:
        """Returns a copy of the tree with `value` at the path."""
        return self.apply(lambda _: value)

    def apply(self, f: Callable[[Any], Any]) -> Tree:
        """Returns a copy of the tree with `f(what stands there)` at the path."""
        return _replace(self.tree, _place(self.tree, self.path)[1], f)


def at(tree: Tree, path: str) -> At:
    """Addresses one leaf or subtree: `at(tree, path).get()`, `.set(value)`, `.apply(f)`. `tree` is left as it is.

    A key may have dots in it: the path is then read in the one way that leads somewhere.

    Raises:
        KeyError: there is nothing at `path`, or it leads to several places.

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

    It is the norm of the leaves' norms, as in `torch.nn.utils.get_total_norm`, so that no square overflows. Its
    derivatives are those of the norm of one vector, and 0 where all leaves are zero.

    >>> global_norm({"a": torch.tensor([3.0]), "b": torch.tensor([[4.0]])})
    tensor(5.)
    """
    values = leaves(tree)
    if not values:
        return torch.zeros(())
    if not _is_differentiated(values):
        return _norm_of_norms(values)
    norm = _norm_of_norms([leaf.detach() for leaf in values])
    # The derivative of a zero leaf's own norm is 0, and so would its share in the second derivative be.
    unit = torch.where((norm > 0) & norm.isfinite(), norm, 1)
    total = torch.stack([_square(leaf / unit.to(leaf.dtype)).sum() for leaf in values]).sum()
    zero = total == 0
    return unit * torch.where(zero, 0, torch.where(zero, 1, total).sqrt())


def is_namedtuple(tree: Tree) -> bool:
    """Whether `tree` is an instance of a NamedTuple class."""
    return isinstance(tree, tuple) and hasattr(tree, "_fields")


def children(tree: Tree) -> list[tuple[Any, Tree]] | None:
    """Returns the `(key, child)` pairs of a container in the order of `flatten`, or None for a leaf.

    The keys joined by dots, as strings, are the paths.

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
    if named and torch.compiler.is_dynamo_compiling():  # not each torch's Dynamo takes what follows
        return list(zip(tree._fields, tree, strict=True))
    node = optree.register_pytree_node.get(kind)
    if node is None:
        return None
    if node.type is not kind:  # of all NamedTuples, and of torch.return_types and their like
        return list(zip(tree._fields if named else optree.structseq_fields(tree), tree, strict=True))
    parts, _, *entries = _flattened(tree, node)
    parts = list(parts)
    return list(zip(range(len(parts)) if not entries or entries[0] is None else entries[0], parts, strict=True))


def difference(tree: Tree, other: Tree) -> str:
    """Says in which leaves two trees differ, for messages.

    >>> difference({"a": 1, "b": 2}, {"a": 1, "c": 2})
    "missing ['b'], unexpected ['c']"
    """
    mine, theirs = paths(tree), paths(other)
    missing = [path for path in mine if path not in theirs]
    extra = [path for path in theirs if path not in mine]
    if missing or extra:
        return f"missing {missing[:3] or 'nothing'}, unexpected {extra[:3] or 'nothing'}"
    return "the same paths in containers of other types"


def rebuild(skeleton: Tree, leaves: Any) -> Tree:
    """Puts `leaves` in place of the positions that stand in `skeleton`: what `unflatten` does while Dynamo traces."""
    parts = children(skeleton)
    if parts is None:
        return leaves[skeleton]
    return _like(skeleton, [rebuild(child, leaves) for _, child in parts])


def _norm_of_norms(values: list[Tensor]) -> Tensor:
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(leaf) for leaf in values]))


def _is_differentiated(values: list[Tensor]) -> bool:
    return is_transformed() or (torch.is_grad_enabled() and any(leaf.requires_grad for leaf in values))


def _square(leaf: Tensor) -> Tensor:
    return leaf.real.square() + leaf.imag.square() if leaf.is_complex() else leaf.square()


def _flatten_into(leaves: list[Any], tree: Tree) -> Tree:
    parts = children(tree)
    if parts is None:
        leaves.append(tree)
        return len(leaves) - 1
    return _like(tree, [_flatten_into(leaves, child) for _, child in parts])


def _pair(skeleton: Tree, tree: Tree, found: list[Any]) -> bool:
    """Appends to `found` what stands in `tree` where `skeleton` has leaves; whether the containers are the same."""
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
        return list(tree)  # as optree; a state_dict() is an OrderedDict
    try:
        return sorted(tree)
    except TypeError:  # keys of several types
        return total_order_sorted(tree)


def _like(tree: Tree, parts: list[Any]) -> Tree:
    """A container as `tree`, its keys in the same order, with `parts` in place of its `children`."""
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


def _flattened(tree: Tree, node: Any) -> Any:
    """The parts of a registered container, and what it holds beside them."""
    # What optree makes of such a method Dynamo does not trace.
    return tuple(tree.__tree_flatten__() if hasattr(tree, "__tree_flatten__") else node.flatten_func(tree))


def _walk(tree: Tree, path: str | None = None) -> Iterator[tuple[str, Any]]:
    parts = children(tree)
    if parts is None:
        yield path or "", tree
        return
    for key, child in parts:
        yield from _walk(child, _join(path, key))


def _join(path: str | None, key: Any) -> str:
    return str(key) if path is None else f"{path}.{key}"


def _place(tree: Tree, path: str) -> tuple[Tree, list[int]]:
    """What stands at `path`, and the way there: which child it is at each level."""
    places: list[tuple[Tree, list[int]]] = []
    if path == "" and children(tree) is None:
        return tree, []
    # The ways so far: where each has come to, how, the path up to there, and what is left of the path.
    ways: list[tuple[Tree, list[int], str | None, str]] = [(tree, [], None, path)]
    last = ways[0]
    while ways:
        last = ways[-1]
        further: list[tuple[Tree, list[int], str | None, str]] = []
        for node, way, here, rest in ways:
            for index, (key, child) in enumerate(children(node) or ()):
                name = str(key)
                if rest == name:
                    places.append((child, [*way, index]))
                elif rest.startswith(f"{name}."):
                    further.append((child, [*way, index], _join(here, key), rest[len(name) + 1 :]))
        ways = further
    if not places:
        node, _, here, rest = last
        where = "the tree" if here is None else f"'{here}'"
        names = ", ".join(str(key) for key, _ in children(node) or ()) or "no children"
        raise KeyError(f"tree.at: no '{rest.partition('.')[0]}' in {where}, which has {names}")
    if len(places) > 1:
        raise KeyError(
            f"tree.at: '{path}' leads to {len(places)} places; rename a key that has a dot, or is not a string"
        )
    return places[0]


def _replace(tree: Tree, way: list[int], f: Callable[[Any], Any]) -> Tree:
    if not way:
        return f(tree)
    parts = [child for _, child in children(tree) or ()]
    parts[way[0]] = _replace(parts[way[0]], way[1:], f)
    return _like(tree, parts)


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
    return _like(first, [_combine(child, by_key[key], _join(path, key)) for key, child in mine])
