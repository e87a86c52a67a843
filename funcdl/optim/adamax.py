"""Adamax: Adam with a decaying maximum of the gradient's magnitude in place of its second moment."""

from __future__ import annotations

import torch

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_betas, check_nonnegative, materialize
from funcdl.optim.learning_rate import scale_by_learning_rate
from funcdl.optim.moments import bias_correction, zero_buffers
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.tree_math import scale, tree_lerp
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.optim.weight_decay import add_decayed_weights
from funcdl.tree import Tree


def adamax(
    lr: ScalarOrSchedule = 2e-3,
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.9, 0.999),
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    *,
    maximize: bool = False,
) -> Transformation:
    """Adamax: `p <- p - lr d`, with the direction `d` of `scale_by_adamax` for the gradient `g + weight_decay p`.

    Args:
        lr: learning rate, at least 0.
        betas: decay of the average of the gradient and of its maximum magnitude, each in [0, 1).
        eps: added to the magnitude of the gradient, at least 0.
        weight_decay: L2 penalty, at least 0.
        maximize: whether to ascend.

    Returns:
        A transformation with the hyperparameters `weight_decay`, `beta1`, `beta2`, `eps` and `lr`.

    Raises:
        ValueError: a hyperparameter is out of range.

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


def scale_by_adamax(
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.9, 0.999), eps: ScalarOrSchedule = 1e-8
) -> Transformation:
    """Divides the first moment of the gradient, with bias correction, by a decaying maximum of its magnitude.

    `m <- b1 m + (1 - b1) g`, `v <- max(b2 v, |g| + eps)`, `d = m / (1 - b1^t) / v` at update `t = 1, 2, ...`.

    Args:
        betas: `b1` and `b2`, each in [0, 1).
        eps: added to the magnitude of the gradient, at least 0.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_adamax()
    >>> transformation.update({"w": torch.tensor([3.0, -4.0])}, transformation.init(params), params)[0]
    {'w': tensor([ 1., -1.])}
    """
    hyperparameters = check_betas("scale_by_adamax", betas) | check_nonnegative("scale_by_adamax", eps=eps)
    init = zero_buffers("exp_avg", "exp_inf")

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        beta1, beta2, eps = hyper["beta1"], hyper["beta2"], hyper["eps"]
        correction = materialize(1 / bias_correction(beta1, count))
        exp_avg = tree_lerp(buffers["exp_avg"], grads, 1 - beta1)
        exp_inf = tree.map(
            lambda v, g: torch.maximum(scale(beta2, v), g.abs() + eps.to(g.dtype)), buffers["exp_inf"], grads
        )
        updates = tree.map(lambda m, v: scale(correction, m) / v, exp_avg, exp_inf)
        return updates, {"exp_avg": exp_avg, "exp_inf": exp_inf}

    return make_transformation("scale_by_adamax", hyperparameters, init, update)
