"""RMSprop: gradients divided by the root of a running average of their squares."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.differentiable import root
from funcdl.optim.hyperparameters import Number, Scalar, number
from funcdl.optim.parts import add_decayed_weights, average, scale_by_learning_rate
from funcdl.optim.sgd import trace
from funcdl.optim.transformation import Transformation, chain, part
from funcdl.tree import Tree


def rmsprop(
    lr: Number = 1e-2,
    alpha: Number = 0.99,
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    momentum: Number = 0.0,
    centered: bool = False,
    *,
    maximize: bool = False,
) -> Transformation:
    """RMSprop: `p <- p - lr d`, `d` the direction of `scale_by_rmsprop`, summed up by `trace` when there is momentum.

    Args:
        lr: learning rate, at least 0.
        alpha: decay of the averages, in [0, 1].
        eps: what is added to the root, at least 0.
        weight_decay: L2 penalty, at least 0.
        momentum: decay of the sum of directions, at least 0. With the float 0 there is no such sum, and `momentum` and
            `dampening` are no numbers that can be replaced later.
        centered: whether to divide by the standard deviation of the gradient instead of its size.
        maximize: whether to ascend.

    Returns:
        A transformation, the numbers of which are `weight_decay`, `alpha`, `eps`, `momentum`, `dampening` (0) and `lr`.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.rmsprop(lr=0.1, alpha=0.75), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, 20.0])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.8000, 0.8000])}

    Hinton, "Neural Networks for Machine Learning", lecture 6e (2012); the centred kind from Graves, "Generating
    Sequences With Recurrent Neural Networks" (2013), https://arxiv.org/abs/1308.0850. Equals `torch.optim.RMSprop`.
    """
    without_momentum = isinstance(momentum, (int, float)) and momentum == 0
    return chain(
        add_decayed_weights(weight_decay),
        scale_by_rmsprop(alpha, eps, centered),
        *([] if without_momentum else [trace(momentum)]),
        scale_by_learning_rate(lr),
        maximize=maximize,
    )


def scale_by_rmsprop(alpha: Number = 0.99, eps: Number = 1e-8, centered: bool = False) -> Transformation:
    """Divides each gradient by the root of an average of its square.

    `v <- alpha v + (1 - alpha) g^2`, `d = g / (sqrt(v) + eps)`; with `centered` also `m <- alpha m + (1 - alpha) g`,
    and `max(v - m^2, 0)` stands in place of `v` in `d`. Where rounding makes that difference negative,
    `torch.optim.RMSprop` gives NaN and this part divides by `eps`.

    Args:
        alpha: decay of the averages, in [0, 1].
        eps: what is added to the root, at least 0.
        centered: whether to subtract the square of the average.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_rmsprop(alpha=0.75)
    >>> transformation.update({"w": torch.tensor([3.0, -4.0])}, transformation.init(params), params)[0]
    {'w': tensor([ 2., -2.])}
    """
    numbers = {
        "alpha": number("scale_by_rmsprop", "alpha", alpha, high=1.0, open=False),
        "eps": number("scale_by_rmsprop", "eps", eps),
    }
    averages = ("square_avg", "grad_avg") if centered else ("square_avg",)

    def init(params: Tree) -> dict[str, Tree]:
        return {name: tree.zeros_like(params) for name in averages}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        new_share, eps = 1 - h["alpha"], h["eps"]
        variance = square_avg = average(memory["square_avg"], tree.map(torch.square, grads), new_share)
        new_memory = {"square_avg": square_avg}
        if centered:
            grad_avg = new_memory["grad_avg"] = average(memory["grad_avg"], grads, new_share)
            variance = tree.map(lambda v, m: (v - m * m).clamp(min=0), square_avg, grad_avg)
        return tree.map(lambda g, v: g / (root(v) + eps.to(v.dtype)), grads, variance), new_memory

    return part("scale_by_rmsprop", numbers, init, update)
