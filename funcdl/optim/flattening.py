"""A whole tree as one vector, so that one kernel serves for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.transformation import Transformation, check_match
from funcdl.tree import Tree


def flatten(optimizer: Transformation) -> Transformation:
    """Gives an optimizer all leaves of a dtype joined to one vector, and cuts its updates into the tree again.

    What an optimizer does to each element by itself comes out the same; what it does to a leaf (`clip_by_norm`,
    `lamb`, `adafactor`, `muon`, masks) is done to the vector. It pays where there are many small leaves, and costs a
    copy of the parameters, gradients and updates: measure.

    Args:
        optimizer: what acts on the vectors. Its state is that of `{"float32": vector}`.

    >>> from funcdl import optim
    >>> optimizer, params = optim.flatten(optim.adam(lr=0.1)), {"w": torch.ones(2, 2), "b": torch.ones(1)}
    >>> state = optimizer.init(params)
    >>> state[1].memory["exp_avg"]
    {'float32': tensor([0., 0., 0., 0., 0.])}
    >>> optimizer.update(params, state, params)[0]["b"]
    tensor([-0.1000])

    Equals `optax.flatten`, which joins leaves of different dtypes too.
    """

    def init(params: Tree) -> Tree:
        return optimizer.init(_join(params))

    def update(grads: Tree, state: Tree, params: Tree = None, **extra: Any) -> tuple[Tree, Tree]:
        check_match("flatten", grads, params)
        updates, state = optimizer.update(_join(grads), state, _join(params), **extra)
        return _cut(updates, params), state

    return Transformation(init, update)


def _groups(values: Tree) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for index, leaf in enumerate(tree.leaves(values)):
        groups.setdefault(str(leaf.dtype).removeprefix("torch."), []).append(index)
    return groups


def _join(values: Tree) -> dict[str, Tensor]:
    leaves = tree.leaves(values)
    return {
        dtype: torch.cat([leaves[index].reshape(-1) for index in members]) for dtype, members in _groups(values).items()
    }


def _cut(vectors: dict[str, Tensor], like: Tree) -> Tree:
    leaves, structure = tree.flatten(like)
    for dtype, members in _groups(like).items():
        pieces = vectors[dtype].split([leaves[index].numel() for index in members])
        for index, piece in zip(members, pieces, strict=True):
            leaves[index] = piece.view(leaves[index].shape)
    return tree.unflatten(structure, leaves)
