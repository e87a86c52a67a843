"""Trees of tensors: nested dicts, tuples, lists, deques and NamedTuples with tensors as leaves.

`None` is a tree without leaves, as in JAX. Classes that are registered in optree's global namespace, for example by
`optree.dataclasses.dataclass(namespace="")`, are containers, too. Functions of several trees pair the entries of dicts
by key; the result has the key order of the first tree. A *path* is the keys that lead to a leaf, joined by dots as in
`state_dict()`: `"layer1.0.weight"`.
"""

from funcdl.tree.containers import (
    Structure,
    Tree,
    children,
    flatten,
    flatten_as,
    flatten_up_to,
    is_namedtuple,
    leaves,
    rebuild,
    structure,
    unflatten,
)
from funcdl.tree.keypaths import At, at, difference, leaves_with_paths, paths
from funcdl.tree.mapping import combine, map, map_with_path, partition
from funcdl.tree.vectors import global_norm, ravel, size, stack, unstack, zeros_like

__all__ = [
    "At",
    "Structure",
    "Tree",
    "at",
    "children",
    "combine",
    "difference",
    "flatten",
    "flatten_as",
    "flatten_up_to",
    "global_norm",
    "is_namedtuple",
    "leaves",
    "leaves_with_paths",
    "map",
    "map_with_path",
    "partition",
    "paths",
    "ravel",
    "rebuild",
    "size",
    "stack",
    "structure",
    "unflatten",
    "unstack",
    "zeros_like",
]
