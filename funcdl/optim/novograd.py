"""NovoGrad: gradients divided by the norm of their leaf, one second moment for each leaf."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.differentiable import norm_squared, root
from funcdl.optim.hyperparameters import Number, Scalar, number, numbers_of, once
from funcdl.optim.parts import average, scale, scale_by_learning_rate
from funcdl.optim.transformation import Transformation, chain, part
from funcdl.tree import Tree


def novograd(
    lr: Number = 1e-3,
    betas: tuple[Number, Number] = (0.9, 0.25),
    eps: Number = 1e-6,
    weight_decay: Number = 0.0,
    *,
    maximize: bool = False,
) -> Transformation:
    """NovoGrad: `p <- p - lr d`, with the direction `d` of `scale_by_novograd`. It keeps half of what Adam does.

    Args:
        lr: learning rate, at least 0.
        betas: decay of the sum of directions and of the average of the squared norm, each in [0, 1).
        eps: what is added to the root, at least 0.
        weight_decay: factor of the parameters, which are added to the scaled gradient, at least 0.
        maximize: whether to ascend; the weights decay all the same.

    Returns:
        A transformation, the numbers of which are `beta1`, `beta2`, `eps`, `weight_decay` and `lr`.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.novograd(lr=0.1), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([3.0, -4.0])}, optimizer.init(params), params)
    >>> updates
    {'w': tensor([-0.0600,  0.0800])}

    Ginsburg et al., "Stochastic Gradient Methods with Layer-wise Adaptive Moments for Training of Deep Networks"
    (2019), https://arxiv.org/abs/1905.11286. Equals `optax.novograd`.
    """
    return chain(scale_by_novograd(betas, eps, weight_decay), scale_by_learning_rate(lr), maximize=maximize)


def scale_by_novograd(
    betas: tuple[Number, Number] = (0.9, 0.25), eps: Number = 1e-8, weight_decay: Number = 0.0
) -> Transformation:
    """Sums up gradients, each divided by the root of an average of its leaf's squared norm, with decay.

    `v <- b2 v + (1 - b2) |g|^2`, the first time `v = |g|^2`, and
    `m <- b1 m + g / (sqrt(v) + eps) + weight_decay p`; `d = m`. One NaN in the gradient of a leaf makes the
    whole leaf NaN.

    Args:
        betas: `b1` and `b2`, each in [0, 1).
        eps: what is added to the root, at least 0.
        weight_decay: factor of the parameters, at least 0.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_novograd(weight_decay=1.0)
    >>> transformation.update({"w": torch.tensor([3.0, -4.0])}, transformation.init(params), params)[0]
    {'w': tensor([1.6000, 0.2000])}

    Equals `optax.scale_by_novograd`.
    """
    beta1, beta2 = numbers_of("scale_by_novograd", "betas", betas, 2)
    numbers = {
        "beta1": number("scale_by_novograd", "betas[0]", beta1, high=1.0),
        "beta2": number("scale_by_novograd", "betas[1]", beta2, high=1.0),
        "eps": number("scale_by_novograd", "eps", eps),
        "weight_decay": number("scale_by_novograd", "weight_decay", weight_decay),
    }

    def init(params: Tree) -> dict[str, Tree]:
        return {"exp_avg": tree.zeros_like(params), "norm_sq": tree.map(lambda p: p.new_zeros(()), params)}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        beta1, eps, weight_decay = h["beta1"], h["eps"], h["weight_decay"]
        share = once(torch.where(count == 0, 1.0, 1 - h["beta2"]))
        norm_sq = average(memory["norm_sq"], tree.map(norm_squared, grads), share)
        exp_avg = tree.map(
            lambda m, g, v, p: scale(beta1, m) + g / (root(v) + eps.to(v.dtype)) + scale(weight_decay, p),
            memory["exp_avg"],
            grads,
            norm_sq,
            params,
        )
        return exp_avg, {"exp_avg": exp_avg, "norm_sq": norm_sq}

    return part("scale_by_novograd", numbers, init, update)
