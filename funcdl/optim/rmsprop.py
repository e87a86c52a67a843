"""RMSprop: gradients divided by the square root of a moving average of their squares."""

from __future__ import annotations

import torch

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_hyperparameter, check_nonnegative
from funcdl.optim.learning_rate import scale_by_learning_rate
from funcdl.optim.moments import zero_buffers
from funcdl.optim.momentum import trace
from funcdl.optim.safe_math import safe_sqrt
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.tree_math import tree_lerp
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.optim.weight_decay import add_decayed_weights
from funcdl.tree import Tree


def rmsprop(
    lr: ScalarOrSchedule = 1e-2,
    alpha: ScalarOrSchedule = 0.99,
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    momentum: ScalarOrSchedule = 0.0,
    centered: bool = False,
    *,
    maximize: bool = False,
) -> Transformation:
    """RMSprop: `p <- p - lr d`, `d` the direction of `scale_by_rmsprop`, summed up by `trace` when there is momentum.

    Args:
        lr: learning rate, at least 0.
        alpha: decay of the averages, in [0, 1].
        eps: added to the denominator, at least 0.
        weight_decay: L2 penalty, at least 0.
        momentum: decay of the sum of directions, at least 0. With the float 0 there is no sum, and no hyperparameter
            `momentum` or `dampening`.
        centered: whether to divide by the standard deviation of the gradient instead of its size.
        maximize: whether to ascend.

    Returns:
        A transformation with the hyperparameters `weight_decay`, `alpha`, `eps`, `momentum`, `dampening` (0) and `lr`.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.rmsprop(lr=0.1, alpha=0.75), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, 20.0])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.8000, 0.8000])}

    Hinton, "Neural Networks for Machine Learning", lecture 6e (2012); the centered kind from Graves, "Generating
    Sequences With Recurrent Neural Networks" (2013), https://arxiv.org/abs/1308.0850. Equals `torch.optim.RMSprop`.
    """
    without_momentum = isinstance(momentum, (int, float)) and momentum == 0
    return chain(
        add_decayed_weights(weight_decay),
        scale_by_rmsprop(alpha, eps, centered),
        *([] if without_momentum else [trace(momentum)]),
        scale_by_learning_rate(lr),
        maximize=maximize,
    )


def scale_by_rmsprop(
    alpha: ScalarOrSchedule = 0.99, eps: ScalarOrSchedule = 1e-8, centered: bool = False
) -> Transformation:
    """Divides each gradient by the square root of a moving average of its square.

    `v <- alpha v + (1 - alpha) g^2`, `d = g / (sqrt(v) + eps)`; with `centered` also `m <- alpha m + (1 - alpha) g`,
    and `max(v - m^2, 0)` replaces `v` in `d`. Where rounding makes that difference negative,
    `torch.optim.RMSprop` gives NaN and this transformation divides by `eps`.

    Args:
        alpha: decay of the averages, in [0, 1].
        eps: added to the denominator, at least 0.
        centered: whether to subtract the square of the average.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_rmsprop(alpha=0.75)
    >>> transformation.update({"w": torch.tensor([3.0, -4.0])}, transformation.init(params), params)[0]
    {'w': tensor([ 2., -2.])}
    """
    hyperparameters = {
        "alpha": check_hyperparameter("scale_by_rmsprop", "alpha", alpha, high=1.0, open=False),
        **check_nonnegative("scale_by_rmsprop", eps=eps),
    }
    averages = ("square_avg", "grad_avg") if centered else ("square_avg",)

    init = zero_buffers(*averages)

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        weight, eps = 1 - hyper["alpha"], hyper["eps"]
        variance = square_avg = tree_lerp(buffers["square_avg"], tree.map(torch.square, grads), weight)
        new_buffers = {"square_avg": square_avg}
        if centered:
            grad_avg = new_buffers["grad_avg"] = tree_lerp(buffers["grad_avg"], grads, weight)
            variance = tree.map(lambda v, m: (v - m * m).clamp(min=0), square_avg, grad_avg)
        return tree.map(lambda g, v: g / (safe_sqrt(v) + eps.to(v.dtype)), grads, variance), new_buffers

    return make_transformation("scale_by_rmsprop", hyperparameters, init, update)
