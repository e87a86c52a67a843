"""Yogi: Adam whose second average grows and shrinks by steps that do not depend on its size."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.differentiable import root
from funcdl.optim.hyperparameters import Number, Scalar, number, numbers_of, once
from funcdl.optim.parts import average, filled, scale, scale_by_learning_rate
from funcdl.optim.transformation import Transformation, chain, part
from funcdl.tree import Tree


def yogi(
    lr: Number = 1e-2,
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number = 1e-3,
    initial_accumulator_value: Number = 1e-6,
    *,
    maximize: bool = False,
) -> Transformation:
    """Yogi: `p <- p - lr d`, with the direction `d` of `scale_by_yogi`.

    Args:
        lr: learning rate, at least 0.
        betas: decay of the two averages, each in [0, 1).
        eps: what is added to the root, at least 0.
        initial_accumulator_value: where both averages start, at least 0. Fixed when the transformation is made.
        maximize: whether to ascend.

    Returns:
        A transformation, the numbers of which are `beta1`, `beta2`, `eps` and `lr`.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.yogi(lr=0.1), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, -20.0])}, optimizer.init(params), params)
    >>> updates
    {'w': tensor([-0.0999,  0.1000])}

    Zaheer et al., "Adaptive Methods for Nonconvex Optimization" (2018),
    https://papers.nips.cc/paper/8186-adaptive-methods-for-nonconvex-optimization. Equals `optax.yogi`.
    """
    return chain(scale_by_yogi(betas, eps, initial_accumulator_value), scale_by_learning_rate(lr), maximize=maximize)


def scale_by_yogi(
    betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-3, initial_accumulator_value: Number = 1e-6
) -> Transformation:
    """Divides an average of the gradient by the root of one of its square that is slow to forget.

    `m <- b1 m + (1 - b1) g`, `v <- v - (1 - b2) sign(v - g^2) g^2`,
    `d = m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)` at update number `t = 1, 2, ...`.

    Args:
        betas: `b1` and `b2`, each in [0, 1).
        eps: what is added to the root, at least 0.
        initial_accumulator_value: where `m` and `v` start, at least 0. Fixed when the transformation is made.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_yogi(eps=0.0, initial_accumulator_value=0.0)
    >>> transformation.update({"w": torch.tensor([3.0, -4.0])}, transformation.init(params), params)[0]
    {'w': tensor([ 1., -1.])}

    Equals `optax.scale_by_yogi`. Not only `v` but `m` too starts at `initial_accumulator_value` there and here, so the
    first updates lean a little in one direction, even where the gradient is zero; with 0 they do not.
    """
    beta1, beta2 = numbers_of("scale_by_yogi", "betas", betas, 2)
    numbers = {
        "beta1": number("scale_by_yogi", "betas[0]", beta1, high=1.0),
        "beta2": number("scale_by_yogi", "betas[1]", beta2, high=1.0),
        "eps": number("scale_by_yogi", "eps", eps),
    }
    number("scale_by_yogi", "initial_accumulator_value", initial_accumulator_value)

    def init(params: Tree) -> dict[str, Tree]:
        return {name: filled(params, initial_accumulator_value) for name in ("exp_avg", "exp_avg_sq")}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        beta1, beta2, eps = h["beta1"], h["beta2"], h["eps"]
        scale1 = once(1 / (1 - beta1 ** (count + 1)))
        scale2 = once(1 / (1 - beta2 ** (count + 1)).sqrt())
        exp_avg = average(memory["exp_avg"], grads, 1 - beta1)
        exp_avg_sq = tree.map(
            lambda v, g: v - scale(1 - beta2, torch.sign(v - g * g) * (g * g)), memory["exp_avg_sq"], grads
        )
        updates = tree.map(
            lambda m, v: scale(scale1, m) / (scale(scale2, root(v)) + eps.to(v.dtype)), exp_avg, exp_avg_sq
        )
        return updates, {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}

    return part("scale_by_yogi", numbers, init, update)
