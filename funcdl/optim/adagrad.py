"""Adagrad: a learning rate for each weight that falls with the sum of its squared gradients."""

from __future__ import annotations

from torch import Tensor

from funcdl import tree
from funcdl.optim.differentiable import root
from funcdl.optim.hyperparameters import Number, Scalar, number, once
from funcdl.optim.parts import add_decayed_weights, filled, nothing, scale_all, scale_by_learning_rate
from funcdl.optim.transformation import Transformation, chain, part
from funcdl.tree import Tree


def adagrad(
    lr: Number = 1e-2,
    lr_decay: Number = 0.0,
    weight_decay: Number = 0.0,
    initial_accumulator_value: Number = 0.0,
    eps: Number = 1e-10,
    *,
    maximize: bool = False,
) -> Transformation:
    """Adagrad: `p <- p - lr / (1 + (t - 1) lr_decay) d` at update number `t`, `d` the direction of `scale_by_adagrad`.

    Args:
        lr: learning rate, at least 0.
        lr_decay: how fast it falls, at least 0; see `scale_by_inverse_time`.
        weight_decay: L2 penalty, at least 0.
        initial_accumulator_value: where the sums of squares start, at least 0. Only `init` reads it, so it cannot be
            replaced later.
        eps: what is added to the root, at least 0.
        maximize: whether to ascend.

    Returns:
        A transformation, the numbers of which are `weight_decay`, `eps`, `decay` and `lr`.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.adagrad(lr=0.1), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, 20.0])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.9000, 0.9000])}

    Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization" (2011),
    https://jmlr.org/papers/v12/duchi11a.html. Equals `torch.optim.Adagrad`.
    """
    return chain(
        add_decayed_weights(weight_decay),
        scale_by_adagrad(initial_accumulator_value, eps),
        scale_by_inverse_time(lr_decay),
        scale_by_learning_rate(lr),
        maximize=maximize,
    )


def scale_by_adagrad(initial_accumulator_value: Number = 0.0, eps: Number = 1e-10) -> Transformation:
    """Divides each gradient by the root of the sum of its squares: `a <- a + g^2`, `d = g / (sqrt(a) + eps)`.

    Args:
        initial_accumulator_value: where `a` starts, at least 0; only `init` reads it.
        eps: what is added to the root, at least 0.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_adagrad(initial_accumulator_value=9.0)
    >>> transformation.update({"w": torch.tensor([4.0, 0.0])}, transformation.init(params), params)[0]
    {'w': tensor([0.8000, 0.0000])}
    """
    start = number("scale_by_adagrad", "initial_accumulator_value", initial_accumulator_value)
    numbers = {"eps": number("scale_by_adagrad", "eps", eps)}

    def init(params: Tree) -> dict[str, Tree]:
        return {"sum": filled(params, start)}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        total = tree.map(lambda a, g: a + g * g, memory["sum"], grads)
        updates = tree.map(lambda g, a: g / (root(a) + h["eps"].to(a.dtype)), grads, total)
        return updates, {"sum": total}

    return part("scale_by_adagrad", numbers, init, update)


def scale_by_inverse_time(decay: Number) -> Transformation:
    """Shrinks the gradients as time goes by: `u = g / (1 + (t - 1) decay)` at update number `t = 1, 2, ...`.

    Args:
        decay: how fast, at least 0.

    Raises:
        ValueError: `decay` is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(1)}
    >>> transformation = scale_by_inverse_time(1.0)
    >>> _, state = transformation.update({"w": torch.ones(1)}, transformation.init(params), params)
    >>> transformation.update({"w": torch.ones(1)}, state, params)[0]
    {'w': tensor([0.5000])}
    """

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        factor = once(1 / (1 + count * h["decay"]))
        return scale_all(factor, grads), memory

    return part("scale_by_inverse_time", {"decay": number("scale_by_inverse_time", "decay", decay)}, nothing, update)
