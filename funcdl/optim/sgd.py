"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Number, Scalar, number, once
from funcdl.optim.parts import add_decayed_weights, in_dtypes, scale_by_learning_rate
from funcdl.optim.transformation import Transformation, chain, part
from funcdl.tree import Tree


def sgd(
    lr: Number = 1e-3,
    momentum: Number = 0.0,
    dampening: Number = 0.0,
    weight_decay: Number = 0.0,
    nesterov: bool = False,
    *,
    maximize: bool = False,
) -> Transformation:
    """Stochastic gradient descent: `p <- p - lr (g + weight_decay p)`, with `trace` between when there is momentum.

    Args:
        lr: learning rate, at least 0.
        momentum: decay of the sum of gradients, at least 0. With the float 0 there is no such sum, and `momentum` and
            `dampening` are no numbers that can be replaced later.
        dampening: share of each new gradient that is left out of the sum.
        weight_decay: L2 penalty, at least 0.
        nesterov: whether to look ahead by one step; needs a momentum and no dampening.
        maximize: whether to ascend.

    Returns:
        A transformation, the numbers of which are `weight_decay`, `momentum`, `dampening` and `lr`.

    Raises:
        ValueError: a number is out of range, or `nesterov` is without momentum or with dampening.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.sgd(lr=0.1, momentum=0.9), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, 2.0])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.9000, 0.8000])}

    Equals `torch.optim.SGD`.
    """
    without_momentum = isinstance(momentum, (int, float)) and momentum == 0
    number("sgd", "dampening", dampening, low=-float("inf"))
    if nesterov and without_momentum:
        raise ValueError(f"sgd: nesterov=True with momentum={momentum} has nothing to look ahead with; pass a momentum")
    momentum_parts = [] if without_momentum else [trace(momentum, dampening, nesterov)]
    return chain(add_decayed_weights(weight_decay), *momentum_parts, scale_by_learning_rate(lr), maximize=maximize)


def trace(momentum: Number, dampening: Number = 0.0, nesterov: bool = False) -> Transformation:
    """Sums up gradients with decay: `b <- momentum b + (1 - dampening) g` and `u = b`; the first time `b = g`.

    With `nesterov`, `u = g + momentum b`.

    Args:
        momentum: decay of the sum, at least 0.
        dampening: share of each new gradient that is left out.
        nesterov: whether to look ahead by one step; needs a dampening of 0.

    Raises:
        ValueError: a number is out of range, or `nesterov` is with dampening.

    >>> import torch
    >>> params = {"w": torch.ones(1)}
    >>> transformation = trace(0.5)
    >>> _, state = transformation.update({"w": torch.tensor([1.0])}, transformation.init(params), params)
    >>> transformation.update({"w": torch.tensor([1.0])}, state, params)[0]
    {'w': tensor([1.5000])}
    """
    numbers = {
        "momentum": number("trace", "momentum", momentum),
        "dampening": number("trace", "dampening", dampening, low=-float("inf")),
    }
    if nesterov and not (isinstance(dampening, (int, float)) and dampening == 0):
        raise ValueError(f"trace: nesterov=True with dampening={dampening} is not defined; leave the dampening out")

    def init(params: Tree) -> dict[str, Tree]:
        return {"momentum_buffer": tree.zeros_like(params)}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        decay, share = in_dtypes(h["momentum"]), in_dtypes(once(torch.where(count == 0, 1.0, 1 - h["dampening"])))
        sums = memory["momentum_buffer"]
        buffer = tree.map(lambda b, g: torch.addcmul(share(g.dtype) * g, decay(b.dtype), b), sums, grads)
        updates = tree.map(lambda g, b: torch.addcmul(g, decay(b.dtype), b), grads, buffer) if nesterov else buffer
        return updates, {"momentum_buffer": buffer}

    return part("trace", numbers, init, update)
