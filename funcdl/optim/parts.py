"""The parts that many optimizers share, and the arithmetic of a 0-dim float64 number with a leaf."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Number, Scalar, current_value, number, zero_beside
from funcdl.optim.partition import masked
from funcdl.optim.selection import Mask
from funcdl.optim.transformation import Transformation, part
from funcdl.tree import Tree


def scale_by_learning_rate(lr: Number) -> Transformation:
    """Turns a direction of ascent into a step of descent: `u = -lr g`. The last part of most optimizers.

    Args:
        lr: learning rate, at least 0.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_learning_rate(0.5)
    >>> transformation.update({"w": torch.tensor([1.0, 2.0])}, transformation.init(params), params)[0]
    {'w': tensor([-0.5000, -1.0000])}
    """

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        return scale_all(-h["lr"], grads), memory

    return part("scale_by_learning_rate", {"lr": number("scale_by_learning_rate", "lr", lr)}, nothing, update)


def add_decayed_weights(weight_decay: Number, mask: Mask | None = None) -> Transformation:
    """Adds the parameters to the gradients: `u = g + weight_decay p`.

    Before the scaling of an optimizer this is an L2 penalty (`torch.optim.Adam`), after it decoupled weight decay
    (`torch.optim.AdamW`). `weight_decay=0` computes the sum as well, so that it may change later without another
    graph; torch leaves it out, which one sees in parameters that are not finite only.

    Args:
        weight_decay: factor of the parameters, at least 0.
        mask: which parameters decay, as for `masked`; all of them by default.

    >>> import torch
    >>> params = {"w": torch.tensor([1.0, 2.0])}
    >>> transformation = add_decayed_weights(0.1)
    >>> transformation.update({"w": torch.zeros(2)}, transformation.init(params), params)[0]
    {'w': tensor([0.1000, 0.2000])}
    """

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        weight_decay = in_dtypes(h["weight_decay"])
        return tree.map(lambda g, p: torch.addcmul(g, weight_decay(p.dtype), p), grads, params), memory

    numbers = {"weight_decay": number("add_decayed_weights", "weight_decay", weight_decay)}
    decay = part("add_decayed_weights", numbers, nothing, update)
    return decay if mask is None else masked(decay, mask)


def nothing(params: Tree) -> dict[str, Tree]:
    """The memory of a part that remembers no gradients."""
    return {}


def scalar(params: Tree) -> Scalar:
    """A 0-dim float64 zero on the device of the parameters: where a number for all of them starts, in a memory."""
    return zero_beside(params)


def select(condition: Tensor, chosen: Tree, other: Tree) -> Tree:
    """Returns `chosen` where the 0-dim `condition` holds, else `other`, leaf by leaf and without a branch.

    uint64 leaves, which are keys, are chosen by their int64 view, since compiled `torch.where` does not take them. A
    leaf that is the same in both, as a number that no schedule governs is, comes back as it is.
    """

    def where(a: Tensor, b: Tensor) -> Tensor:
        if a is b:
            return a
        if a.dtype == torch.uint64:
            return torch.where(condition, a.view(torch.int64), b.view(torch.int64)).view(torch.uint64)
        return torch.where(condition, a, b)

    return tree.map(where, chosen, other)


def find(state: Tree, wanted: Callable[[Tree], bool]) -> list[Tree]:
    """Returns the states of parts and wrappers, within the state of an optimizer, for which `wanted` holds."""
    if wanted(state):
        return [state]
    children = state.values() if isinstance(state, dict) else state if isinstance(state, (tuple, list)) else ()
    return [found for child in children for found in find(child, wanted)]


def scale(scalar: Scalar, leaf: Tensor) -> Tensor:
    """Returns `scalar * leaf` in the dtype of the leaf, also when the leaf is 0-dim."""
    return scalar.to(leaf.dtype) * leaf


def scale_all(scalar: Scalar, values: Tree) -> Tree:
    """Returns `scalar * leaf` for each leaf, in its dtype."""
    factor = in_dtypes(scalar)
    return tree.map(lambda leaf: factor(leaf.dtype) * leaf, values)


def average(old: Tree, new: Tree, weight: Scalar) -> Tree:
    """Moves an exponential average: `old + weight (new - old)` for each leaf, with `weight = 1 - decay`.

    The weight is computed in float64 by the caller: in bfloat16 a decay of 0.999 would be 1.
    """
    share = in_dtypes(weight)
    return tree.map(lambda o, n: torch.lerp(o, n, share(o.dtype)), old, new)


def in_dtypes(scalar: Scalar) -> Callable[[torch.dtype], Tensor]:
    """Returns a function that gives `scalar` in the dtype of a leaf, converted once for all leaves."""
    converted: dict[torch.dtype, Tensor] = {}

    def convert(dtype: torch.dtype) -> Tensor:
        if dtype not in converted:
            converted[dtype] = scalar.to(dtype)
        return converted[dtype]

    return convert


def filled(params: Tree, value: Number) -> Tree:
    """A tree like the parameters, each element what `value` is before the first update."""

    def fill(leaf: Tensor) -> Tensor:
        start = current_value(value, torch.zeros((), dtype=torch.int64, device=leaf.device))
        return torch.zeros_like(leaf) + start.to(leaf.dtype)  # laid out as the leaf, as all later averages will be

    return tree.map(fill, params)


def only_for(
    transformation: Transformation, name: str, fits: Callable[[Tensor], bool], expected: str
) -> Transformation:
    """Returns `transformation` with an `init` that refuses parameters for which the maths is not made."""

    def init(params: Tree) -> Tree:
        for path, leaf in tree.leaves_with_paths(params):
            if not fits(leaf):
                raise ValueError(
                    f"{name}.init: parameter '{path}' has shape {tuple(leaf.shape)} and dtype {leaf.dtype}, expected "
                    f"{expected}; give it to another optimizer by optim.partition()"
                )
        return transformation.init(params)

    return replace(transformation, init=init)
