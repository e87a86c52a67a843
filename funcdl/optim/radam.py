"""RAdam: Adam that rectifies the variance of its adaptive learning rate in early updates."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_betas, check_nonnegative, materialize
from funcdl.optim.learning_rate import scale_by_learning_rate
from funcdl.optim.moments import zero_buffers
from funcdl.optim.safe_math import safe_denominator, safe_sqrt, under_transform
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.tree_math import scale, tree_lerp
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.optim.weight_decay import add_decayed_weights
from funcdl.tree import Tree


def radam(
    lr: ScalarOrSchedule = 1e-3,
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.9, 0.999),
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    decoupled_weight_decay: bool = False,
    *,
    maximize: bool = False,
) -> Transformation:
    """RAdam: `p <- p - lr d`, with the direction `d` of `scale_by_radam` for the gradient `g + weight_decay p`.

    Args:
        lr: learning rate, at least 0.
        betas: decay of the averages of the gradient and of its square, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: L2 penalty, or factor of the parameters, at least 0.
        decoupled_weight_decay: whether the weights decay outside of the averages: `p <- p - lr (d + weight_decay p)`.
        maximize: whether to ascend; decoupled, the weights decay in either case.

    Returns:
        A transformation with the hyperparameters `weight_decay`, `beta1`, `beta2`, `eps` and `lr`.

    Raises:
        ValueError: a hyperparameter is out of range.

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
    direction = (scaling, decay) if decoupled_weight_decay else (decay, scaling)
    return chain(*direction, scale_by_learning_rate(lr), maximize=maximize)


def scale_by_radam(
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.9, 0.999), eps: ScalarOrSchedule = 1e-8
) -> Transformation:
    """Adam's direction times a rectification `r`, and the plain first moment as long as `r` is not defined.

    `m <- b1 m + (1 - b1) g`, `v <- b2 v + (1 - b2) g^2`; with `R = 2 / (1 - b2) - 1` and
    `rho = R - 2 t b2^t / (1 - b2^t)` at update `t = 1, 2, ...`,
    `r = sqrt((rho - 4) (rho - 2) R / ((R - 4) (R - 2) rho))` and
    `d = r m / (1 - b1^t) sqrt(1 - b2^t) / (sqrt(v) + eps)` if `rho > 5`, else `d = m / (1 - b1^t)`.

    Args:
        betas: `b1` and `b2`, each in [0, 1).
        eps: added to the denominator, at least 0.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_radam()
    >>> transformation.update({"w": torch.tensor([3.0, -4.0])}, transformation.init(params), params)[0]
    {'w': tensor([ 3., -4.])}
    """
    hyperparameters = check_betas("scale_by_radam", betas) | check_nonnegative("scale_by_radam", eps=eps)
    init = zero_buffers("exp_avg", "exp_avg_sq")

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        beta1, beta2, eps = hyper["beta1"], hyper["beta2"], hyper["eps"]
        steps = count + 1
        correction2 = 1 - beta2**steps
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * steps * beta2**steps / correction2
        rectified = materialize(length > 5)
        ratio = (length - 4) * (length - 2) * longest / safe_denominator((longest - 4) * (longest - 2) * length)
        plain_scale = materialize(1 / (1 - beta1**steps))
        rectified_scale = materialize(plain_scale * (torch.where(rectified, ratio, 1.0) * correction2).sqrt())
        exp_avg = tree_lerp(buffers["exp_avg"], grads, 1 - beta1)
        exp_avg_sq = tree_lerp(buffers["exp_avg_sq"], tree.map(torch.square, grads), 1 - beta2)

        def direction(m: Tensor, v: Tensor) -> Tensor:
            divisor = safe_sqrt(v) + eps.to(v.dtype)
            if under_transform(divisor):
                divisor = torch.where(rectified, divisor, 1.0)
            return torch.where(rectified, scale(rectified_scale, m) / divisor, scale(plain_scale, m))

        updates = tree.map(direction, exp_avg, exp_avg_sq)
        return updates, {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}

    return make_transformation("scale_by_radam", hyperparameters, init, update)
