"""Adadelta: a learning rate for each weight from the history of its gradients and its steps."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.differentiable import root
from funcdl.optim.hyperparameters import Number, Scalar, number
from funcdl.optim.parts import add_decayed_weights, average, in_dtypes, scale_by_learning_rate
from funcdl.optim.transformation import Transformation, chain, part
from funcdl.tree import Tree


def adadelta(
    lr: Number = 1.0,
    rho: Number = 0.9,
    eps: Number = 1e-6,
    weight_decay: Number = 0.0,
    *,
    maximize: bool = False,
) -> Transformation:
    """Adadelta: `p <- p - lr d`, with the direction `d` of `scale_by_adadelta`.

    Args:
        lr: factor of the step, at least 0.
        rho: decay of both averages, in [0, 1].
        eps: what is added to both averages before the root, at least 0.
        weight_decay: L2 penalty, at least 0.
        maximize: whether to ascend.

    Returns:
        A transformation, the numbers of which are `weight_decay`, `rho`, `eps` and `lr`.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.adadelta(), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, 2.0])}, optimizer.init(params), params)
    >>> updates
    {'w': tensor([-0.0032, -0.0032])}

    Zeiler, "ADADELTA: An Adaptive Learning Rate Method" (2012), https://arxiv.org/abs/1212.5701.
    Equals `torch.optim.Adadelta`.
    """
    return chain(
        add_decayed_weights(weight_decay), scale_by_adadelta(rho, eps), scale_by_learning_rate(lr), maximize=maximize
    )


def scale_by_adadelta(rho: Number = 0.9, eps: Number = 1e-6) -> Transformation:
    """Scales each gradient by the ratio of the sizes of past steps and past gradients.

    `v <- rho v + (1 - rho) g^2`, `d = sqrt(a + eps) / sqrt(v + eps) g`, `a <- rho a + (1 - rho) d^2`.

    Args:
        rho: decay of both averages, in [0, 1].
        eps: what is added to both averages before the root, at least 0.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(1)}
    >>> transformation = scale_by_adadelta(eps=1.0)
    >>> transformation.update({"w": torch.tensor([0.0])}, transformation.init(params), params)[0]
    {'w': tensor([0.])}
    """
    numbers = {
        "rho": number("scale_by_adadelta", "rho", rho, high=1.0, open=False),
        "eps": number("scale_by_adadelta", "eps", eps),
    }

    def init(params: Tree) -> dict[str, Tree]:
        return {"square_avg": tree.zeros_like(params), "acc_delta": tree.zeros_like(params)}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        new_share, eps = 1 - h["rho"], in_dtypes(h["eps"])
        square_avg = average(memory["square_avg"], tree.map(torch.square, grads), new_share)
        updates = tree.map(
            lambda g, a, v: root(a + eps(a.dtype)) / root(v + eps(v.dtype)) * g,
            grads,
            memory["acc_delta"],
            square_avg,
        )
        acc_delta = average(memory["acc_delta"], tree.map(torch.square, updates), new_share)
        return updates, {"square_avg": square_avg, "acc_delta": acc_delta}

    return part("scale_by_adadelta", numbers, init, update)
