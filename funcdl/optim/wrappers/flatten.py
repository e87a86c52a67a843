"""Joins the small leaves of a tree into one vector, so that eager updates launch fewer kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.transformation import Transformation, check_is_transformation, inner_update, with_cast_updates
from funcdl.optim.validation import match_gradients
from funcdl.tree import Tree


def flatten(optimizer: Transformation, below: int = 2**16) -> Transformation:
    """Joins the small leaves of each dtype into one vector for an optimizer, and splits its updates again.

    Element-wise updates do not change. An optimizer that treats each leaf as a whole (`clip_by_norm`, `lamb`,
    `adafactor`, `muon`, masks) treats the vector as one leaf. This saves time for uncompiled updates of many small
    leaves, which are two thirds of the leaves of a network such as ResNet-50. It is not needed inside `jit` with
    donation, where equal updates are one kernel anyway (`python -m tests.benchmarks optimizers`). Large leaves stay
    separate, because joining them would copy the parameters, gradients and updates.

    Args:
        optimizer: the optimizer of the vectors. Its state is the one for a tree
            `{"joined": {"float32": vector}, "others": (leaf, ...)}`.
        below: leaves with fewer elements than this are joined.

    >>> from funcdl import optim
    >>> optimizer, params = optim.flatten(optim.adam(lr=0.1)), {"w": torch.ones(2, 2), "b": torch.ones(1)}
    >>> state = optimizer.init(params)
    >>> state[1].buffers["exp_avg"]
    {'joined': {'float32': tensor([0., 0., 0., 0., 0.])}, 'others': ()}
    >>> optimizer.update(params, state, params)[0]["b"]
    tensor([-0.1000])

    `optax.flatten` joins all leaves, of different dtypes too.
    """

    check_is_transformation("flatten", optimizer)
    if not isinstance(below, int) or below < 0:
        raise ValueError(f"flatten: below={below!r} is out of range; expected an integer, at least 0")

    def init(params: Tree) -> Tree:
        return optimizer.init(_join(params, params, below))

    def update(grads: Tree, state: Tree, params: Tree = None, **extra: Any) -> tuple[Tree, Tree]:
        grads, _ = match_gradients("flatten", grads, params)
        g, p = _join(grads, params, below), _join(params, params, below)
        updates, state = inner_update("flatten: the optimizer's update", optimizer, g, state, p, extra)
        return _split(updates, params, below), state

    return with_cast_updates(init, update)


def _groups(leaves: list[Tensor], below: int) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for index, leaf in enumerate(leaves):
        if leaf.numel() < below:
            groups.setdefault(str(leaf.dtype).removeprefix("torch."), []).append(index)
    return groups


def _join(values: Tree, like: Tree, below: int) -> dict[str, Tree]:
    leaves = tree.leaves(values)
    joined = {
        dtype: torch.cat([leaves[index].reshape(-1) for index in members])
        for dtype, members in _groups(tree.leaves(like), below).items()
    }
    return {"joined": joined, "others": tuple(leaf for leaf in leaves if leaf.numel() >= below)}


def _split(updates: dict[str, Tree], like: Tree, below: int) -> Tree:
    leaves, structure = tree.flatten(like)
    pieces: dict[int, Tensor] = {}
    for dtype, members in _groups(leaves, below).items():
        sizes = [leaves[index].numel() for index in members]
        pieces |= dict(zip(members, updates["joined"][dtype].split(sizes), strict=True))
    others = iter(updates["others"])
    leaves = [pieces[index].view(leaf.shape) if index in pieces else next(others) for index, leaf in enumerate(leaves)]
    return tree.unflatten(structure, leaves)
