"""Yogi: Adam whose second moment changes by amounts that do not depend on its own size."""

from __future__ import annotations

import torch

from funcdl import tree
from funcdl.optim.hyperparameters import (
    Count,
    ScalarOrSchedule,
    check_betas,
    check_hyperparameter,
    check_nonnegative,
    materialize,
)
from funcdl.optim.learning_rate import scale_by_learning_rate
from funcdl.optim.moments import bias_correction
from funcdl.optim.safe_math import safe_sqrt
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.tree_math import scale, tree_full_like, tree_lerp
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.tree import Tree


def yogi(
    lr: ScalarOrSchedule = 1e-2,
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.9, 0.999),
    eps: ScalarOrSchedule = 1e-3,
    initial_accumulator_value: ScalarOrSchedule = 1e-6,
    *,
    maximize: bool = False,
) -> Transformation:
    """Yogi: `p <- p - lr d`, with the direction `d` of `scale_by_yogi`.

    Args:
        lr: learning rate, at least 0.
        betas: decay of the two averages, each in [0, 1).
        eps: added to the denominator, at least 0.
        initial_accumulator_value: initial value of both moments, at least 0. Fixed when the transformation is made.
        maximize: whether to ascend.

    Returns:
        A transformation with the hyperparameters `beta1`, `beta2`, `eps` and `lr`.

    Raises:
        ValueError: a hyperparameter is out of range.

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
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.9, 0.999),
    eps: ScalarOrSchedule = 1e-3,
    initial_accumulator_value: ScalarOrSchedule = 1e-6,
) -> Transformation:
    """Divides the first moment of the gradient by the square root of an additively updated second moment.

    `m <- b1 m + (1 - b1) g`, `v <- v - (1 - b2) sign(v - g^2) g^2`,
    `d = m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)` at update `t = 1, 2, ...`.

    Args:
        betas: `b1` and `b2`, each in [0, 1).
        eps: added to the denominator, at least 0.
        initial_accumulator_value: initial value of `m` and `v`, at least 0. Fixed when the transformation is made.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_yogi(eps=0.0, initial_accumulator_value=0.0)
    >>> transformation.update({"w": torch.tensor([3.0, -4.0])}, transformation.init(params), params)[0]
    {'w': tensor([ 1., -1.])}

    Equals `optax.scale_by_yogi`. Both there and here `m` too starts at `initial_accumulator_value`, so the first
    updates are biased a little, even where the gradient is zero; with 0 they are not.
    """
    hyperparameters = check_betas("scale_by_yogi", betas) | check_nonnegative("scale_by_yogi", eps=eps)
    check_hyperparameter("scale_by_yogi", "initial_accumulator_value", initial_accumulator_value)

    def init(params: Tree) -> Buffers:
        return {name: tree_full_like(params, initial_accumulator_value) for name in ("exp_avg", "exp_avg_sq")}

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        beta1, beta2, eps = hyper["beta1"], hyper["beta2"], hyper["eps"]
        correction1 = materialize(1 / bias_correction(beta1, count))
        correction2 = materialize(1 / bias_correction(beta2, count).sqrt())
        exp_avg = tree_lerp(buffers["exp_avg"], grads, 1 - beta1)
        exp_avg_sq = tree.map(
            lambda v, g: v - scale(1 - beta2, torch.sign(v - g * g) * (g * g)), buffers["exp_avg_sq"], grads
        )
        updates = tree.map(
            lambda m, v: scale(correction1, m) / (scale(correction2, safe_sqrt(v)) + eps.to(v.dtype)),
            exp_avg,
            exp_avg_sq,
        )
        return updates, {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}

    return make_transformation("scale_by_yogi", hyperparameters, init, update)
