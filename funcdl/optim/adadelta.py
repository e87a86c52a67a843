"""Adadelta: a learning rate for each weight from the history of its gradients and its steps."""

from __future__ import annotations

import torch

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_hyperparameter, check_nonnegative
from funcdl.optim.learning_rate import scale_by_learning_rate
from funcdl.optim.moments import zero_buffers
from funcdl.optim.safe_math import safe_sqrt
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.tree_math import cached_cast, tree_lerp
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.optim.weight_decay import add_decayed_weights
from funcdl.tree import Tree


def adadelta(
    lr: ScalarOrSchedule = 1.0,
    rho: ScalarOrSchedule = 0.9,
    eps: ScalarOrSchedule = 1e-6,
    weight_decay: ScalarOrSchedule = 0.0,
    *,
    maximize: bool = False,
) -> Transformation:
    """Adadelta: `p <- p - lr d`, with the direction `d` of `scale_by_adadelta`.

    Args:
        lr: factor of the step, at least 0.
        rho: decay of both averages, in [0, 1].
        eps: added to both averages under the square root, at least 0.
        weight_decay: L2 penalty, at least 0.
        maximize: whether to ascend.

    Returns:
        A transformation with the hyperparameters `weight_decay`, `rho`, `eps` and `lr`.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.adadelta(), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, 2.0])}, optimizer.init(params), params)
    >>> updates
    {'w': tensor([-0.0032, -0.0032])}

    Zeiler, "ADADELTA: An Adaptive Learning Rate Method" (2012), https://arxiv.org/abs/1212.5701.
    Equals `torch.optim.Adadelta`.
    """
    return chain(
        add_decayed_weights(weight_decay), scale_by_adadelta(rho, eps), scale_by_learning_rate(lr), maximize=maximize
    )


def scale_by_adadelta(rho: ScalarOrSchedule = 0.9, eps: ScalarOrSchedule = 1e-6) -> Transformation:
    """Scales each gradient by the ratio of the sizes of past steps and past gradients.

    `v <- rho v + (1 - rho) g^2`, `d = sqrt(a + eps) / sqrt(v + eps) g`, `a <- rho a + (1 - rho) d^2`.

    Args:
        rho: decay of both averages, in [0, 1].
        eps: added to both averages under the square root, at least 0.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(1)}
    >>> transformation = scale_by_adadelta(eps=1.0)
    >>> transformation.update({"w": torch.tensor([0.0])}, transformation.init(params), params)[0]
    {'w': tensor([0.])}
    """
    hyperparameters = {
        "rho": check_hyperparameter("scale_by_adadelta", "rho", rho, high=1.0, open=False),
        **check_nonnegative("scale_by_adadelta", eps=eps),
    }

    init = zero_buffers("square_avg", "acc_delta")

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        weight, eps = 1 - hyper["rho"], cached_cast(hyper["eps"])
        square_avg = tree_lerp(buffers["square_avg"], tree.map(torch.square, grads), weight)
        updates = tree.map(
            lambda g, a, v: safe_sqrt(a + eps(a.dtype)) / safe_sqrt(v + eps(v.dtype)) * g,
            grads,
            buffers["acc_delta"],
            square_avg,
        )
        acc_delta = tree_lerp(buffers["acc_delta"], tree.map(torch.square, updates), weight)
        return updates, {"square_avg": square_avg, "acc_delta": acc_delta}

    return make_transformation("scale_by_adadelta", hyperparameters, init, update)
