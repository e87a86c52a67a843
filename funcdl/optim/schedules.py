"""Numbers that change from update to update: pure functions of the number of updates done before.

A schedule takes a 0-dim int64 tensor (0 at the first update) and returns a 0-dim float64 tensor on its device. It can
stand for any number of any optimizer: `optim.adam(lr=optim.schedules.cosine(1e-3, T_max=100))`. A function of your own
will do as well.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Int
from torch import Tensor

from funcdl.optim.hyperparameters import Scalar, Schedule


def constant(lr: float) -> Schedule:
    """The same number at every update.

    >>> constant(0.1)(torch.tensor(7))
    tensor(0.1000, dtype=torch.float64)
    """

    def value(step: Int[Tensor, ""]) -> Scalar:
        return torch.full_like(step, lr, dtype=torch.float64)

    return value


def cosine(lr: float, T_max: int, eta_min: float = 0.0) -> Schedule:
    """Half a cosine from `lr` at step 0 down to `eta_min` at step `T_max`; beyond, it comes up again.

    `eta_min + (lr - eta_min) (1 + cos(pi step / T_max)) / 2`.

    Args:
        lr: the number at step 0.
        T_max: steps to the lowest number, at least 1.
        eta_min: the lowest number.

    Raises:
        ValueError: `T_max` is less than 1.

    >>> halving = cosine(0.1, T_max=10)
    >>> [round(float(halving(torch.tensor(step))), 3) for step in (0, 5, 10)]
    [0.1, 0.05, 0.0]

    Equals `torch.optim.lr_scheduler.CosineAnnealingLR`.
    """
    if T_max < 1:
        raise ValueError(f"cosine: T_max={T_max} is out of range; expected at least 1 step from lr to eta_min")

    def value(step: Int[Tensor, ""]) -> Scalar:
        return eta_min + (lr - eta_min) * (1 + torch.cos(step.double() * (math.pi / T_max))) / 2

    return value
