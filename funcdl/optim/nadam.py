"""NAdam: Adam that looks ahead by one step, as Nesterov's momentum does."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.differentiable import root
from funcdl.optim.hyperparameters import Number, Scalar, number, numbers_of, once
from funcdl.optim.parts import add_decayed_weights, average, scalar, scale, scale_by_learning_rate
from funcdl.optim.transformation import Transformation, chain, part
from funcdl.tree import Tree


def nadam(
    lr: Number = 2e-3,
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    momentum_decay: Number = 4e-3,
    decoupled_weight_decay: bool = False,
    *,
    maximize: bool = False,
) -> Transformation:
    """NAdam: `p <- p - lr d`, with the direction `d` of `scale_by_nadam` for the gradient `g + weight_decay p`.

    Args:
        lr: learning rate, at least 0.
        betas: decay of the averages of the gradient and of its square, each in [0, 1).
        eps: what is added to the root, at least 0.
        weight_decay: L2 penalty, or factor of the parameters, at least 0.
        momentum_decay: how fast the momentum grows to `betas[0]`, at least 0.
        decoupled_weight_decay: whether the weights decay outside of the averages: `p <- p - lr (d + weight_decay p)`.
        maximize: whether to ascend; decoupled, the weights decay all the same.

    Returns:
        A transformation, the numbers of which are `weight_decay`, `beta1`, `beta2`, `eps`, `momentum_decay` and `lr`.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.nadam(lr=0.1), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, 20.0])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.8944, 0.8944])}

    Dozat, "Incorporating Nesterov Momentum into Adam" (2016), https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ.
    Equals `torch.optim.NAdam`.
    """
    scaling, decay = scale_by_nadam(betas, eps, momentum_decay), add_decayed_weights(weight_decay)
    first_parts = (scaling, decay) if decoupled_weight_decay else (decay, scaling)
    return chain(*first_parts, scale_by_learning_rate(lr), maximize=maximize)


def scale_by_nadam(
    betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-8, momentum_decay: Number = 4e-3
) -> Transformation:
    """Divides a look ahead at the average of the gradient by the root of an average of its square.

    At update number `t = 1, 2, ...`: `mu_t = b1 (1 - 0.96^(t momentum_decay) / 2)`, `P_t = mu_1 mu_2 ... mu_t`;
    `m <- b1 m + (1 - b1) g`, `v <- b2 v + (1 - b2) g^2`;
    `d = (mu_(t+1) m / (1 - P_(t+1)) + (1 - mu_t) g / (1 - P_t)) / (sqrt(v / (1 - b2^t)) + eps)`.

    Args:
        betas: `b1` and `b2`, each in [0, 1).
        eps: what is added to the root, at least 0.
        momentum_decay: how fast `mu` grows to `b1`, at least 0.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(1)}
    >>> transformation = scale_by_nadam(betas=(0.0, 0.0))
    >>> transformation.update({"w": torch.tensor([3.0])}, transformation.init(params), params)[0]
    {'w': tensor([1.])}
    """
    beta1, beta2 = numbers_of("scale_by_nadam", "betas", betas, 2)
    numbers = {
        "beta1": number("scale_by_nadam", "betas[0]", beta1, high=1.0),
        "beta2": number("scale_by_nadam", "betas[1]", beta2, high=1.0),
        "eps": number("scale_by_nadam", "eps", eps),
        "momentum_decay": number("scale_by_nadam", "momentum_decay", momentum_decay),
    }

    def init(params: Tree) -> dict[str, Tree]:
        averages = {"exp_avg": tree.zeros_like(params), "exp_avg_sq": tree.zeros_like(params)}
        return {**averages, "mu_product": scalar(params) + 1}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        beta1, beta2, eps = h["beta1"], h["beta2"], h["eps"]

        def momentum(t: Tensor) -> Scalar:
            return beta1 * (1 - 0.5 * 0.96 ** (t * h["momentum_decay"]))

        mu, mu_next = momentum(count + 1), momentum(count + 2)
        mu_product = once(memory["mu_product"] * mu)
        ahead = once(mu_next / (1 - mu_product * mu_next))
        here = once((1 - mu) / (1 - mu_product))
        root_scale = once(1 / (1 - beta2 ** (count + 1)).sqrt())
        exp_avg = average(memory["exp_avg"], grads, 1 - beta1)
        exp_avg_sq = average(memory["exp_avg_sq"], tree.map(torch.square, grads), 1 - beta2)
        updates = tree.map(
            lambda g, m, v: (scale(ahead, m) + scale(here, g)) / (scale(root_scale, root(v)) + eps.to(v.dtype)),
            grads,
            exp_avg,
            exp_avg_sq,
        )
        return updates, {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq, "mu_product": mu_product}

    return part("scale_by_nadam", numbers, init, update)
