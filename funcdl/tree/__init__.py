"""Trees of tensors: dicts, tuples, lists, deques and NamedTuples, nested, with tensors as leaves.

`None` is a tree without leaves, as in JAX, and what is registered in optree's global namespace, as by
`optree.dataclasses.dataclass(namespace="")`, is a container too. Of several trees the first one gives the order of the
keys in a result, its own; the others are paired with it by key. A *path* is a leaf's keys joined by dots, as in
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
from funcdl.tree.mapping import combine, map, map_with_path, partition
from funcdl.tree.places import At, at, difference, leaves_with_paths, paths
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
