"""The parts that many optimizers share, and the arithmetic of a 0-dim float64 number with a leaf."""

from __future__ import annotations

from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Number, Scalar, number
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
        return tree.map(lambda g: scale(-h["lr"], g), grads), memory

    return part("scale_by_learning_rate", {"lr": number("scale_by_learning_rate", "lr", lr)}, nothing, update)


def add_decayed_weights(weight_decay: Number) -> Transformation:
    """Adds the parameters to the gradients: `u = g + weight_decay p`.

    Before the scaling of an optimizer this is an L2 penalty (`torch.optim.Adam`), after it decoupled weight decay
    (`torch.optim.AdamW`). `weight_decay=0` computes the sum as well, so that it may change later without another
    graph; torch leaves it out, which one sees in parameters that are not finite only.

    Args:
        weight_decay: factor of the parameters, at least 0.

    >>> import torch
    >>> params = {"w": torch.tensor([1.0, 2.0])}
    >>> transformation = add_decayed_weights(0.1)
    >>> transformation.update({"w": torch.zeros(2)}, transformation.init(params), params)[0]
    {'w': tensor([0.1000, 0.2000])}
    """

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        return tree.map(lambda g, p: g + scale(h["weight_decay"], p), grads, params), memory

    numbers = {"weight_decay": number("add_decayed_weights", "weight_decay", weight_decay)}
    return part("add_decayed_weights", numbers, nothing, update)


def nothing(params: Tree) -> dict[str, Tree]:
    """The memory of a part that remembers no gradients."""
    return {}


def scale(scalar: Scalar, leaf: Tensor) -> Tensor:
    """Returns `scalar * leaf` in the dtype of the leaf, also when the leaf is 0-dim."""
    return scalar.to(leaf.dtype) * leaf


def average(old: Tree, new: Tree, weight: Scalar) -> Tree:
    """Moves an exponential average: `old + weight (new - old)` for each leaf, with `weight = 1 - decay`.

    The weight is computed in float64 by the caller: in bfloat16 a decay of 0.999 would be 1.
    """
    return tree.map(lambda o, n: o + scale(weight, n - o), old, new)
