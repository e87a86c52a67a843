"""Averaged stochastic gradient descent: a falling rate, and the average of the parameters on the way."""

from __future__ import annotations

from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Number, Scalar, number, once
from funcdl.optim.parts import add_decayed_weights, average, nothing, scale
from funcdl.optim.transformation import Transformation, chain, part
from funcdl.tree import Tree


def asgd(
    lr: Number = 1e-2,
    lambd: Number = 1e-4,
    alpha: Number = 0.75,
    t0: Number = 1e6,
    weight_decay: Number = 0.0,
    *,
    maximize: bool = False,
) -> Transformation:
    """Averaged SGD: the steps of `scale_by_asgd` for the gradient `g + weight_decay p`, and `average_params` of them.

    The average is in the state of the last part: `state[-1].memory["ax"]`, a tree like the parameters (real views of
    complex ones). It is what to evaluate; the gradients are taken at the parameters themselves.

    Args:
        lr: learning rate at the start, at least 0.
        lambd: decay of the parameters and of the rate, at least 0.
        alpha: power with which the rate falls, at least 0.
        t0: updates before the average begins, at least 0.
        weight_decay: L2 penalty, at least 0.
        maximize: whether to ascend; `lambd` shrinks the parameters all the same.

    Returns:
        A transformation, the numbers of which are `weight_decay`, `lr`, `lambd`, `alpha` and `t0`.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.asgd(lr=0.5, t0=0), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, -1.0])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.4999, 1.4999])}
    >>> state[-1].memory["ax"]
    {'w': tensor([0.4999, 1.4999])}

    Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992),
    https://doi.org/10.1137/0330046. Equals `torch.optim.ASGD`, except that a new `lr` or `lambd` counts at once, and
    there one update later.
    """
    return chain(
        add_decayed_weights(weight_decay), scale_by_asgd(lr, lambd, alpha), average_params(t0), maximize=maximize
    )


def scale_by_asgd(lr: Number = 1e-2, lambd: Number = 1e-4, alpha: Number = 0.75) -> Transformation:
    """Makes steps of descent at a falling rate: `eta = lr / (1 + lambd lr (t - 1))^alpha`, `u = -eta (g + lambd p)`.

    At update number `t = 1, 2, ...`.

    Args:
        lr: the rate at the start, at least 0.
        lambd: decay of the parameters and of the rate, at least 0.
        alpha: power with which the rate falls, at least 0.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(1)}
    >>> transformation = scale_by_asgd(lr=0.5, lambd=1.0)
    >>> transformation.update({"w": torch.ones(1)}, transformation.init(params), params)[0]
    {'w': tensor([-1.])}
    """
    numbers = {
        "lr": number("scale_by_asgd", "lr", lr),
        "lambd": number("scale_by_asgd", "lambd", lambd),
        "alpha": number("scale_by_asgd", "alpha", alpha),
    }

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        eta = once(h["lr"] / (1 + h["lambd"] * h["lr"] * count) ** h["alpha"])
        return tree.map(lambda g, p: -scale(eta, g + scale(h["lambd"], p)), grads, params), memory

    return part("scale_by_asgd", numbers, nothing, update)


def average_params(t0: Number = 0.0) -> Transformation:
    """Remembers the average of the parameters that its updates lead to, and lets the updates pass.

    `ax <- ax + (p + u - ax) / max(1, t - 1 - t0)` at update number `t`: up to `t0 + 2` the average is the parameters
    themselves. For the last place in a chain; read the average in its state, `memory["ax"]`.

    Args:
        t0: updates before the average begins, at least 0.

    Raises:
        ValueError: `t0` is out of range.

    >>> import torch
    >>> params = {"w": torch.zeros(1)}
    >>> transformation = average_params()
    >>> state = transformation.init(params)
    >>> for _ in range(3):
    ...     updates, state = transformation.update({"w": torch.ones(1)}, state, params)
    ...     params = {"w": params["w"] + updates["w"]}
    >>> params, state.memory["ax"]
    ({'w': tensor([3.])}, {'w': tensor([2.5000])})
    """

    def init(params: Tree) -> dict[str, Tree]:
        return {"ax": tree.zeros_like(params)}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        share = once(1 / (count - h["t0"]).clamp(min=1))
        return grads, {"ax": average(memory["ax"], tree.map(lambda p, g: p + g, params, grads), share)}

    return part("average_params", {"t0": number("average_params", "t0", t0)}, init, update)
