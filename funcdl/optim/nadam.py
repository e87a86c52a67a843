"""NAdam: Adam with Nesterov momentum."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Count, Scalar, ScalarOrSchedule, check_betas, check_nonnegative, materialize
from funcdl.optim.learning_rate import scale_by_learning_rate
from funcdl.optim.moments import bias_correction
from funcdl.optim.safe_math import safe_sqrt
from funcdl.optim.state import zero_scalar
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.tree_math import scale, tree_lerp
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.optim.weight_decay import add_decayed_weights
from funcdl.tree import Tree


def nadam(
    lr: ScalarOrSchedule = 2e-3,
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.9, 0.999),
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    momentum_decay: ScalarOrSchedule = 4e-3,
    decoupled_weight_decay: bool = False,
    *,
    maximize: bool = False,
) -> Transformation:
    """NAdam: `p <- p - lr d`, with the direction `d` of `scale_by_nadam` for the gradient `g + weight_decay p`.

    Args:
        lr: learning rate, at least 0.
        betas: decay of the averages of the gradient and of its square, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: L2 penalty, or factor of the parameters, at least 0.
        momentum_decay: how fast the momentum grows to `betas[0]`, at least 0.
        decoupled_weight_decay: whether the weights decay outside of the averages: `p <- p - lr (d + weight_decay p)`.
        maximize: whether to ascend; decoupled, the weights decay in either case.

    Returns:
        A transformation with the hyperparameters `weight_decay`, `beta1`, `beta2`, `eps`, `momentum_decay` and `lr`.

    Raises:
        ValueError: a hyperparameter is out of range.

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
    direction = (scaling, decay) if decoupled_weight_decay else (decay, scaling)
    return chain(*direction, scale_by_learning_rate(lr), maximize=maximize)


def scale_by_nadam(
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.9, 0.999),
    eps: ScalarOrSchedule = 1e-8,
    momentum_decay: ScalarOrSchedule = 4e-3,
) -> Transformation:
    """Divides the first moment of the gradient, with Nesterov momentum, by the square root of the second.

    At update `t = 1, 2, ...`: `mu_t = b1 (1 - 0.96^(t momentum_decay) / 2)`, `P_t = mu_1 mu_2 ... mu_t`;
    `m <- b1 m + (1 - b1) g`, `v <- b2 v + (1 - b2) g^2`;
    `d = (mu_(t+1) m / (1 - P_(t+1)) + (1 - mu_t) g / (1 - P_t)) / (sqrt(v / (1 - b2^t)) + eps)`.

    Args:
        betas: `b1` and `b2`, each in [0, 1).
        eps: added to the denominator, at least 0.
        momentum_decay: how fast `mu` grows to `b1`, at least 0.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(1)}
    >>> transformation = scale_by_nadam(betas=(0.0, 0.0))
    >>> transformation.update({"w": torch.tensor([3.0])}, transformation.init(params), params)[0]
    {'w': tensor([1.])}
    """
    hyperparameters = check_betas("scale_by_nadam", betas) | check_nonnegative(
        "scale_by_nadam", eps=eps, momentum_decay=momentum_decay
    )

    def init(params: Tree) -> dict[str, Tree]:
        moments = {"exp_avg": tree.zeros_like(params), "exp_avg_sq": tree.zeros_like(params)}
        return {**moments, "mu_product": zero_scalar(params) + 1}

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        beta1, beta2, eps = hyper["beta1"], hyper["beta2"], hyper["eps"]

        def momentum(t: Tensor) -> Scalar:
            return beta1 * (1 - 0.5 * 0.96 ** (t * hyper["momentum_decay"]))

        mu, mu_next = momentum(count + 1), momentum(count + 2)
        mu_product = materialize(buffers["mu_product"] * mu)
        m_scale = materialize(mu_next / (1 - mu_product * mu_next))
        g_scale = materialize((1 - mu) / (1 - mu_product))
        correction2 = materialize(1 / bias_correction(beta2, count).sqrt())
        exp_avg = tree_lerp(buffers["exp_avg"], grads, 1 - beta1)
        exp_avg_sq = tree_lerp(buffers["exp_avg_sq"], tree.map(torch.square, grads), 1 - beta2)
        updates = tree.map(
            lambda g, m, v: (
                (scale(m_scale, m) + scale(g_scale, g)) / (scale(correction2, safe_sqrt(v)) + eps.to(v.dtype))
            ),
            grads,
            exp_avg,
            exp_avg_sq,
        )
        return updates, {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq, "mu_product": mu_product}

    return make_transformation("scale_by_nadam", hyperparameters, init, update)
