"""Adamax: Adam with the largest gradient of late in place of the average square."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Number, Scalar, number, numbers_of, once
from funcdl.optim.parts import add_decayed_weights, average, scale, scale_by_learning_rate
from funcdl.optim.transformation import Transformation, chain, part
from funcdl.tree import Tree


def adamax(
    lr: Number = 2e-3,
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    *,
    maximize: bool = False,
) -> Transformation:
    """Adamax: `p <- p - lr d`, with the direction `d` of `scale_by_adamax` for the gradient `g + weight_decay p`.

    Args:
        lr: learning rate, at least 0.
        betas: decay of the average of the gradient and of its largest size, each in [0, 1).
        eps: what is added to the size of the gradient, at least 0.
        weight_decay: L2 penalty, at least 0.
        maximize: whether to ascend.

    Returns:
        A transformation, the numbers of which are `weight_decay`, `beta1`, `beta2`, `eps` and `lr`.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.adamax(lr=0.1), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, 20.0])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.9000, 0.9000])}

    Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015), section 7.1, https://arxiv.org/abs/1412.6980.
    Equals `torch.optim.Adamax`.
    """
    return chain(
        add_decayed_weights(weight_decay), scale_by_adamax(betas, eps), scale_by_learning_rate(lr), maximize=maximize
    )


def scale_by_adamax(betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-8) -> Transformation:
    """Divides an average of the gradient, corrected for its start, by the gradient's largest size of late.

    `m <- b1 m + (1 - b1) g`, `v <- max(b2 v, |g| + eps)`, `d = m / (1 - b1^t) / v` at update number `t = 1, 2, ...`.

    Args:
        betas: `b1` and `b2`, each in [0, 1).
        eps: what is added to the size of the gradient, at least 0.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_adamax()
    >>> transformation.update({"w": torch.tensor([3.0, -4.0])}, transformation.init(params), params)[0]
    {'w': tensor([ 1., -1.])}
    """
    beta1, beta2 = numbers_of("scale_by_adamax", "betas", betas, 2)
    numbers = {
        "beta1": number("scale_by_adamax", "betas[0]", beta1, high=1.0),
        "beta2": number("scale_by_adamax", "betas[1]", beta2, high=1.0),
        "eps": number("scale_by_adamax", "eps", eps),
    }

    def init(params: Tree) -> dict[str, Tree]:
        return {"exp_avg": tree.zeros_like(params), "exp_inf": tree.zeros_like(params)}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        beta1, beta2, eps = h["beta1"], h["beta2"], h["eps"]
        correction = once(1 / (1 - beta1 ** (count + 1)))
        exp_avg = average(memory["exp_avg"], grads, 1 - beta1)
        exp_inf = tree.map(
            lambda v, g: torch.maximum(scale(beta2, v), g.abs() + eps.to(g.dtype)), memory["exp_inf"], grads
        )
        updates = tree.map(lambda m, v: scale(correction, m) / v, exp_avg, exp_inf)
        return updates, {"exp_avg": exp_avg, "exp_inf": exp_inf}

    return part("scale_by_adamax", numbers, init, update)
