"""Adam, and AdamW with decoupled weight decay."""

from __future__ import annotations

import torch

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_betas, check_nonnegative, materialize
from funcdl.optim.learning_rate import scale_by_learning_rate
from funcdl.optim.moments import bias_correction, zero_buffers
from funcdl.optim.safe_math import safe_sqrt, under_transform
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.tree_math import cached_cast, tree_lerp
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.optim.weight_decay import add_decayed_weights
from funcdl.tree import Tree


def adam(
    lr: ScalarOrSchedule = 1e-3,
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.9, 0.999),
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
) -> Transformation:
    """Adam: `p <- p - lr d`, with the direction `d` of `scale_by_adam` for the gradient `g + weight_decay p`.

    Args:
        lr: learning rate, at least 0.
        betas: decay of the averages of the gradient and of its square, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: L2 penalty, at least 0; for the decoupled kind see `adamw`.
        amsgrad: whether to divide by the largest average so far.
        maximize: whether to ascend.

    Returns:
        A transformation with the hyperparameters `weight_decay`, `beta1`, `beta2`, `eps` and `lr`.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.adam(lr=0.1), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, 20.0])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.9000, 0.9000])}

    Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015), https://arxiv.org/abs/1412.6980.
    Equals `torch.optim.Adam`.
    """
    return chain(
        add_decayed_weights(weight_decay),
        scale_by_adam(betas, eps, amsgrad),
        scale_by_learning_rate(lr),
        maximize=maximize,
    )


def adamw(
    lr: ScalarOrSchedule = 1e-3,
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.9, 0.999),
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 1e-2,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
) -> Transformation:
    """Adam with decoupled weight decay: `p <- p - lr (d + weight_decay p)`, `d` the direction of `scale_by_adam`.

    Args:
        lr: learning rate, at least 0.
        betas: decay of the averages of the gradient and of its square, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: factor of the parameters, at least 0.
        amsgrad: whether to divide by the largest average so far.
        maximize: whether to ascend; the weights decay in either case.

    Returns:
        A transformation with the hyperparameters `beta1`, `beta2`, `eps`, `weight_decay` and `lr`.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.adamw(lr=0.1, weight_decay=1.0), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, 20.0])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.8000, 0.8000])}

    Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), https://arxiv.org/abs/1711.05101.
    Equals `torch.optim.AdamW`.
    """
    return chain(
        scale_by_adam(betas, eps, amsgrad),
        add_decayed_weights(weight_decay),
        scale_by_learning_rate(lr),
        maximize=maximize,
    )


def scale_by_adam(
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.9, 0.999), eps: ScalarOrSchedule = 1e-8, amsgrad: bool = False
) -> Transformation:
    """Divides the first moment of the gradient by the square root of the second, both with bias correction.

    `m <- b1 m + (1 - b1) g`, `v <- b2 v + (1 - b2) g^2`, `d = m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)` at update
    `t = 1, 2, ...`; with `amsgrad` the largest `v` so far replaces `v` in `d`.

    Args:
        betas: `b1` and `b2`, each in [0, 1).
        eps: added to the denominator, at least 0.
        amsgrad: whether to divide by the largest `v` so far.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_adam()
    >>> transformation.update({"w": torch.tensor([3.0, -4.0])}, transformation.init(params), params)[0]
    {'w': tensor([ 1., -1.])}
    """
    hyperparameters = check_betas("scale_by_adam", betas) | check_nonnegative("scale_by_adam", eps=eps)
    moments = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if amsgrad else ("exp_avg", "exp_avg_sq")

    init = zero_buffers(*moments)

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        beta1, beta2 = hyper["beta1"], hyper["beta2"]
        correction1 = cached_cast(materialize(1 / bias_correction(beta1, count)))
        correction2 = cached_cast(materialize(1 / bias_correction(beta2, count).sqrt()))
        eps = cached_cast(hyper["eps"])
        exp_avg = tree_lerp(buffers["exp_avg"], grads, 1 - beta1)
        second_moment = exp_avg_sq = tree_lerp(buffers["exp_avg_sq"], tree.map(torch.square, grads), 1 - beta2)
        new_buffers = {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}
        if amsgrad:
            second_moment = tree.map(torch.maximum, buffers["max_exp_avg_sq"], exp_avg_sq)
            new_buffers["max_exp_avg_sq"] = second_moment
        if under_transform(*tree.leaves((new_buffers, hyper))):
            updates = tree.map(
                lambda m, v: correction1(m.dtype) * m / (safe_sqrt(v) * correction2(v.dtype) + eps(v.dtype)),
                exp_avg,
                second_moment,
            )
        else:  # in place on new tensors: allocating memory costs an eager update as much as arithmetic
            updates = tree.map(
                lambda m, v: (correction1(m.dtype) * m).div_(v.sqrt().mul_(correction2(v.dtype)).add_(eps(v.dtype))),
                exp_avg,
                second_moment,
            )
        return updates, new_buffers

    return make_transformation("scale_by_adam", hyperparameters, init, update)
