"""RAdam: Adam that does not divide before it has seen enough gradients to know by what."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.differentiable import nonzero, recorded, root
from funcdl.optim.hyperparameters import Number, Scalar, number, numbers_of, once
from funcdl.optim.parts import add_decayed_weights, average, scale, scale_by_learning_rate
from funcdl.optim.transformation import Transformation, chain, part
from funcdl.tree import Tree


def radam(
    lr: Number = 1e-3,
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    decoupled_weight_decay: bool = False,
    *,
    maximize: bool = False,
) -> Transformation:
    """RAdam: `p <- p - lr d`, with the direction `d` of `scale_by_radam` for the gradient `g + weight_decay p`.

    Args:
        lr: learning rate, at least 0.
        betas: decay of the averages of the gradient and of its square, each in [0, 1).
        eps: what is added to the root, at least 0.
        weight_decay: L2 penalty, or factor of the parameters, at least 0.
        decoupled_weight_decay: whether the weights decay outside of the averages: `p <- p - lr (d + weight_decay p)`.
        maximize: whether to ascend; decoupled, the weights decay all the same.

    Returns:
        A transformation, the numbers of which are `weight_decay`, `beta1`, `beta2`, `eps` and `lr`.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.radam(lr=0.1), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, -2.0])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.9000, 1.2000])}

    Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond" (2020), https://arxiv.org/abs/1908.03265.
    Equals `torch.optim.RAdam`.
    """
    scaling, decay = scale_by_radam(betas, eps), add_decayed_weights(weight_decay)
    first_parts = (scaling, decay) if decoupled_weight_decay else (decay, scaling)
    return chain(*first_parts, scale_by_learning_rate(lr), maximize=maximize)


def scale_by_radam(betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-8) -> Transformation:
    """Adam's direction times a rectification `r`, and the plain average of the gradient while there is none.

    `m <- b1 m + (1 - b1) g`, `v <- b2 v + (1 - b2) g^2`; with `R = 2 / (1 - b2) - 1` and
    `rho = R - 2 t b2^t / (1 - b2^t)` at update number `t = 1, 2, ...`,
    `r = sqrt((rho - 4) (rho - 2) R / ((R - 4) (R - 2) rho))` and
    `d = r m / (1 - b1^t) sqrt(1 - b2^t) / (sqrt(v) + eps)` if `rho > 5`, else `d = m / (1 - b1^t)`.

    Args:
        betas: `b1` and `b2`, each in [0, 1).
        eps: what is added to the root, at least 0.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_radam()
    >>> transformation.update({"w": torch.tensor([3.0, -4.0])}, transformation.init(params), params)[0]
    {'w': tensor([ 3., -4.])}
    """
    beta1, beta2 = numbers_of("scale_by_radam", "betas", betas, 2)
    numbers = {
        "beta1": number("scale_by_radam", "betas[0]", beta1, high=1.0),
        "beta2": number("scale_by_radam", "betas[1]", beta2, high=1.0),
        "eps": number("scale_by_radam", "eps", eps),
    }

    def init(params: Tree) -> dict[str, Tree]:
        return {"exp_avg": tree.zeros_like(params), "exp_avg_sq": tree.zeros_like(params)}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        beta1, beta2, eps = h["beta1"], h["beta2"], h["eps"]
        steps = count + 1
        correction2 = 1 - beta2**steps
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * steps * beta2**steps / correction2
        rectified = once(length > 5)
        ratio = (length - 4) * (length - 2) * longest / nonzero((longest - 4) * (longest - 2) * length)
        plain_scale = once(1 / (1 - beta1**steps))
        rectified_scale = once(plain_scale * (torch.where(rectified, ratio, 1.0) * correction2).sqrt())
        exp_avg = average(memory["exp_avg"], grads, 1 - beta1)
        exp_avg_sq = average(memory["exp_avg_sq"], tree.map(torch.square, grads), 1 - beta2)

        def direction(m: Tensor, v: Tensor) -> Tensor:
            divisor = root(v) + eps.to(v.dtype)
            if recorded(divisor):
                divisor = torch.where(rectified, divisor, 1.0)
            return torch.where(rectified, scale(rectified_scale, m) / divisor, scale(plain_scale, m))

        updates = tree.map(direction, exp_avg, exp_avg_sq)
        return updates, {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}

    return part("scale_by_radam", numbers, init, update)
