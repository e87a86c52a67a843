"""Adan: Adam with Nesterov momentum, estimated from differences of successive gradients."""

from __future__ import annotations

import torch

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_betas, check_nonnegative, materialize
from funcdl.optim.learning_rate import scale_by_learning_rate
from funcdl.optim.moments import bias_correction, zero_buffers
from funcdl.optim.safe_math import safe_sqrt
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.tree_math import scale, tree_lerp
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.optim.weight_decay import add_decayed_weights
from funcdl.tree import Tree


def adan(
    lr: ScalarOrSchedule = 1e-3,
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule, ScalarOrSchedule] = (0.98, 0.92, 0.99),
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    eps_root: ScalarOrSchedule = 1e-8,
    *,
    maximize: bool = False,
) -> Transformation:
    """Adan: `p <- p - lr (d + weight_decay p)`, with the direction `d` of `scale_by_adan`.

    Args:
        lr: learning rate, at least 0.
        betas: decay of the averages of the gradient, of its difference and of the square, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: factor of the parameters (decoupled), at least 0.
        eps_root: added under the square root, at least 0.
        maximize: whether to ascend; the weights decay in either case.

    Returns:
        A transformation with the hyperparameters `beta1`, `beta2`, `beta3`, `eps`, `eps_root`, `weight_decay` and
        `lr`.

    Raises:
        ValueError: a hyperparameter is out of range.

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
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule, ScalarOrSchedule] = (0.98, 0.92, 0.99),
    eps: ScalarOrSchedule = 1e-8,
    eps_root: ScalarOrSchedule = 0.0,
) -> Transformation:
    """Divides the first moments of the gradient and of its differences by the square root of a second moment.

    With `y` the difference of `g` and the gradient before (0 the first time): `m <- b1 m + (1 - b1) g`,
    `v <- b2 v + (1 - b2) y`, `n <- b3 n + (1 - b3) (g + (1 - b2) y)^2`, and at update `t = 1, 2, ...`
    `d = (m / (1 - b1^t) + (1 - b2) v / (1 - b2^t)) / (sqrt(n / (1 - b3^t) + eps_root) + eps)`.

    Args:
        betas: `b1`, `b2` and `b3`, each in [0, 1).
        eps: added to the denominator, at least 0.
        eps_root: added under the square root, at least 0.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_adan()
    >>> transformation.update({"w": torch.tensor([3.0, -4.0])}, transformation.init(params), params)[0]
    {'w': tensor([ 1., -1.])}

    Equals `optax.scale_by_adan`. The authors' code has `b2` in both places where `1 - b2` is a factor of `y` and of the
    corrected `v` here: the paper's betas are one minus these.
    """
    hyperparameters = check_betas("scale_by_adan", betas, 3)
    hyperparameters |= check_nonnegative("scale_by_adan", eps=eps, eps_root=eps_root)

    init = zero_buffers("exp_avg", "exp_avg_diff", "exp_avg_sq", "grad")

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        eps, eps_root, lookahead = hyper["eps"], hyper["eps_root"], 1 - hyper["beta2"]
        scale1, scale2, scale3 = (1 / bias_correction(hyper[name], count) for name in ("beta1", "beta2", "beta3"))
        scale1, scale2, scale3 = materialize(scale1), materialize(lookahead * scale2), materialize(scale3)
        difference = tree.map(lambda g, old: torch.where(count == 0, 0.0, g - old), grads, buffers["grad"])
        squared = tree.map(lambda g, y: (g + scale(lookahead, y)).square(), grads, difference)
        exp_avg = tree_lerp(buffers["exp_avg"], grads, 1 - hyper["beta1"])
        exp_avg_diff = tree_lerp(buffers["exp_avg_diff"], difference, lookahead)
        exp_avg_sq = tree_lerp(buffers["exp_avg_sq"], squared, 1 - hyper["beta3"])
        updates = tree.map(
            lambda m, v, n: (
                (scale(scale1, m) + scale(scale2, v))
                / (safe_sqrt(scale(scale3, n) + eps_root.to(n.dtype)) + eps.to(n.dtype))
            ),
            exp_avg,
            exp_avg_diff,
            exp_avg_sq,
        )
        grad = tree.map(torch.clone, grads)  # the caller may overwrite its own
        return updates, {"exp_avg": exp_avg, "exp_avg_diff": exp_avg_diff, "exp_avg_sq": exp_avg_sq, "grad": grad}

    return make_transformation("scale_by_adan", hyperparameters, init, update)
