"""Adan: Adam with Nesterov's look ahead, taken from the differences of gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.differentiable import root
from funcdl.optim.hyperparameters import Number, Scalar, number, numbers_of, once
from funcdl.optim.parts import add_decayed_weights, average, scale, scale_by_learning_rate
from funcdl.optim.transformation import Transformation, chain, part
from funcdl.tree import Tree


def adan(
    lr: Number = 1e-3,
    betas: tuple[Number, Number, Number] = (0.98, 0.92, 0.99),
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    eps_root: Number = 1e-8,
    *,
    maximize: bool = False,
) -> Transformation:
    """Adan: `p <- p - lr (d + weight_decay p)`, with the direction `d` of `scale_by_adan`.

    Args:
        lr: learning rate, at least 0.
        betas: decay of the averages of the gradient, of its difference and of the square, each in [0, 1).
        eps: what is added to the root, at least 0.
        weight_decay: factor of the parameters (decoupled), at least 0.
        eps_root: what is added under the root, at least 0.
        maximize: whether to ascend; the weights decay all the same.

    Returns:
        A transformation, the numbers of which are `beta1`, `beta2`, `beta3`, `eps`, `eps_root`, `weight_decay` and
        `lr`.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.adan(lr=0.1), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, -20.0])}, optimizer.init(params), params)
    >>> updates
    {'w': tensor([-0.1000,  0.1000])}

    Xie et al., "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models" (2022),
    https://arxiv.org/abs/2208.06677. Equals `optax.adan`, which differs from the authors' code: see `scale_by_adan`.
    Also, the weights decay by `lr weight_decay p`, where the authors divide by `1 + lr weight_decay`.
    """
    return chain(
        scale_by_adan(betas, eps, eps_root),
        add_decayed_weights(weight_decay),
        scale_by_learning_rate(lr),
        maximize=maximize,
    )


def scale_by_adan(
    betas: tuple[Number, Number, Number] = (0.98, 0.92, 0.99), eps: Number = 1e-8, eps_root: Number = 0.0
) -> Transformation:
    """Divides an average of the gradient and of its differences by the root of an average of their square.

    With `y` the difference of `g` and the gradient before (0 the first time): `m <- b1 m + (1 - b1) g`,
    `v <- b2 v + (1 - b2) y`, `n <- b3 n + (1 - b3) (g + (1 - b2) y)^2`, and at update number `t = 1, 2, ...`
    `d = (m / (1 - b1^t) + (1 - b2) v / (1 - b2^t)) / (sqrt(n / (1 - b3^t) + eps_root) + eps)`.

    Args:
        betas: `b1`, `b2` and `b3`, each in [0, 1).
        eps: what is added to the root, at least 0.
        eps_root: what is added under the root, at least 0.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_adan()
    >>> transformation.update({"w": torch.tensor([3.0, -4.0])}, transformation.init(params), params)[0]
    {'w': tensor([ 1., -1.])}

    Equals `optax.scale_by_adan`. The authors' code has `b2` in both places where `1 - b2` is a factor of `y` and of the
    corrected `v` here: the paper's betas are one minus these.
    """
    names = ("beta1", "beta2", "beta3")
    named = list(zip(names, numbers_of("scale_by_adan", "betas", betas, 3), strict=True))
    numbers = {
        **{name: number("scale_by_adan", f"betas[{i}]", beta, high=1.0) for i, (name, beta) in enumerate(named)},
        "eps": number("scale_by_adan", "eps", eps),
        "eps_root": number("scale_by_adan", "eps_root", eps_root),
    }

    def init(params: Tree) -> dict[str, Tree]:
        return {name: tree.zeros_like(params) for name in ("exp_avg", "exp_avg_diff", "exp_avg_sq", "grad")}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        eps, eps_root, look = h["eps"], h["eps_root"], 1 - h["beta2"]
        scale1, scale2, scale3 = (1 / (1 - h[name] ** (count + 1)) for name in names)
        scale1, scale2, scale3 = once(scale1), once(look * scale2), once(scale3)
        difference = tree.map(lambda g, old: torch.where(count == 0, 0.0, g - old), grads, memory["grad"])
        squared = tree.map(lambda g, y: (g + scale(look, y)).square(), grads, difference)
        exp_avg = average(memory["exp_avg"], grads, 1 - h["beta1"])
        exp_avg_diff = average(memory["exp_avg_diff"], difference, look)
        exp_avg_sq = average(memory["exp_avg_sq"], squared, 1 - h["beta3"])
        updates = tree.map(
            lambda m, v, n: (
                (scale(scale1, m) + scale(scale2, v))
                / (root(scale(scale3, n) + eps_root.to(n.dtype)) + eps.to(n.dtype))
            ),
            exp_avg,
            exp_avg_diff,
            exp_avg_sq,
        )
        grad = tree.map(torch.clone, grads)  # the caller may write over its own
        return updates, {"exp_avg": exp_avg, "exp_avg_diff": exp_avg_diff, "exp_avg_sq": exp_avg_sq, "grad": grad}

    return part("scale_by_adan", numbers, init, update)
