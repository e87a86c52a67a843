"""LARS: momentum for very large batches, each leaf's step in proportion to its norm."""

from __future__ import annotations

from funcdl.optim.hyperparameters import ScalarOrSchedule
from funcdl.optim.learning_rate import scale_by_learning_rate
from funcdl.optim.momentum import trace
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.trust_ratio import scale_by_trust_ratio
from funcdl.optim.weight_decay import add_decayed_weights


def lars(
    lr: ScalarOrSchedule = 1e-3,
    momentum: ScalarOrSchedule = 0.9,
    weight_decay: ScalarOrSchedule = 0.0,
    trust_coefficient: ScalarOrSchedule = 1e-3,
    eps: ScalarOrSchedule = 0.0,
    nesterov: bool = False,
    *,
    maximize: bool = False,
) -> Transformation:
    """LARS: `b <- momentum b - lr r (g + weight_decay p)` and `p <- p + b`, `r` the trust ratio of the leaf.

    Args:
        lr: learning rate, at least 0. As in the paper, it is applied before the momentum: unlike in `sgd`, past steps
            keep the rate with which they were taken.
        momentum: decay of the sum of steps, at least 0. With the float 0 there is no sum, and no hyperparameter
            `momentum`.
        weight_decay: L2 penalty, at least 0; included in the norm of the gradient.
        trust_coefficient: factor of the ratio, at least 0.
        eps: added to the norm of the gradient, at least 0.
        nesterov: whether to use Nesterov momentum.
        maximize: whether to ascend.

    Returns:
        A transformation with the hyperparameters `weight_decay`, `trust_coefficient`, `eps`, `min_norm`, `lr`,
        `momentum` and `dampening`.

    Raises:
        ValueError: a hyperparameter is out of range, or `nesterov` is without momentum.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.lars(lr=1.0, trust_coefficient=0.1), {"w": torch.tensor([3.0, 4.0])}
    >>> updates, state = optimizer.update({"w": torch.tensor([0.6, -0.8])}, optimizer.init(params), params)
    >>> updates
    {'w': tensor([-0.3000,  0.4000])}

    You et al., "Large Batch Training of Convolutional Networks" (2017), https://arxiv.org/abs/1708.03888. Equals
    `optax.lars`. It also adapts biases and the scales of normalizations; to exclude them, as is usual, give them their
    own transformation with `partition`.
    """
    without_momentum = isinstance(momentum, (int, float)) and momentum == 0
    if nesterov and without_momentum:
        raise ValueError(f"lars: nesterov=True with momentum={momentum} is not defined; pass a momentum")
    return chain(
        add_decayed_weights(weight_decay),
        scale_by_trust_ratio(trust_coefficient, eps),
        scale_by_learning_rate(lr),
        *([] if without_momentum else [trace(momentum, nesterov=nesterov)]),
        maximize=maximize,
    )
