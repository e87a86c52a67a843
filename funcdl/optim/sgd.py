"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from funcdl.optim.hyperparameters import ScalarOrSchedule, check_hyperparameter
from funcdl.optim.learning_rate import scale_by_learning_rate
from funcdl.optim.momentum import trace
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.weight_decay import add_decayed_weights


def sgd(
    lr: ScalarOrSchedule = 1e-3,
    momentum: ScalarOrSchedule = 0.0,
    dampening: ScalarOrSchedule = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    nesterov: bool = False,
    *,
    maximize: bool = False,
) -> Transformation:
    """Stochastic gradient descent: `p <- p - lr (g + weight_decay p)`, with `trace` between when there is momentum.

    Args:
        lr: learning rate, at least 0.
        momentum: decay of the sum of gradients, at least 0. With the float 0 there is no sum, and no hyperparameter
            `momentum` or `dampening`.
        dampening: fraction of each new gradient that is left out of the sum.
        weight_decay: L2 penalty, at least 0.
        nesterov: whether to use Nesterov momentum; needs a momentum and no dampening.
        maximize: whether to ascend.

    Returns:
        A transformation with the hyperparameters `weight_decay`, `momentum`, `dampening` and `lr`.

    Raises:
        ValueError: a hyperparameter is out of range, or `nesterov` is without momentum or with dampening.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.sgd(lr=0.1, momentum=0.9), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, 2.0])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.9000, 0.8000])}

    Equals `torch.optim.SGD`.
    """
    without_momentum = isinstance(momentum, (int, float)) and momentum == 0
    check_hyperparameter("sgd", "dampening", dampening, low=-float("inf"))
    if nesterov and without_momentum:
        raise ValueError(f"sgd: nesterov=True with momentum={momentum} is not defined; pass a momentum")
    return chain(
        add_decayed_weights(weight_decay),
        *([] if without_momentum else [trace(momentum, dampening, nesterov)]),
        scale_by_learning_rate(lr),
        maximize=maximize,
    )
