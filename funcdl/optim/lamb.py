"""LAMB: Adam for very large batches, each leaf's step in proportion to its norm."""

from __future__ import annotations

from funcdl.optim.adam import scale_by_adam
from funcdl.optim.hyperparameters import ScalarOrSchedule
from funcdl.optim.learning_rate import scale_by_learning_rate
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.trust_ratio import scale_by_trust_ratio
from funcdl.optim.weight_decay import add_decayed_weights


def lamb(
    lr: ScalarOrSchedule = 1e-3,
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.9, 0.999),
    eps: ScalarOrSchedule = 1e-6,
    weight_decay: ScalarOrSchedule = 0.0,
    *,
    maximize: bool = False,
) -> Transformation:
    """LAMB: `p <- p - lr r (d + weight_decay p)`, `d` of `scale_by_adam`, `r` the leaf's trust ratio |p| / |d + ...|.

    Args:
        lr: the norm of a leaf's step relative to the norm of the leaf, at least 0.
        betas: decay of the averages of the gradient and of its square, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: factor of the parameters (decoupled), at least 0.
        maximize: whether to ascend; the weights decay in either case.

    Returns:
        A transformation with the hyperparameters `beta1`, `beta2`, `1.eps` of Adam, `weight_decay`,
        `trust_coefficient`, `2.eps` of the ratio, `min_norm` and `lr`.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.lamb(lr=0.1), {"w": torch.tensor([3.0, 4.0])}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, -2.0])}, optimizer.init(params), params)
    >>> updates
    {'w': tensor([-0.3536,  0.3536])}

    You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 Minutes" (2020),
    https://arxiv.org/abs/1904.00962. Equals `optax.lamb`; the paper's bound on |p| is left out in both.
    """
    return chain(
        scale_by_adam(betas, eps),
        add_decayed_weights(weight_decay),
        scale_by_trust_ratio(),
        scale_by_learning_rate(lr),
        maximize=maximize,
    )
