"""Schedules made of schedules."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from funcdl.optim.hyperparameters import Number, Scalar, Schedule
from funcdl.optim.schedules.arguments import at, increasing, real, scheduled, whole


def join(schedules: Sequence[Number], milestones: Sequence[int]) -> Schedule:
    """One schedule after the other, each of which counts its steps from where it takes over.

    Args:
        schedules: one or more; a float stands for a constant one.
        milestones: the steps at which the second, third, ... take over, increasing.

    Raises:
        ValueError: there is not one milestone fewer than schedules, or they do not increase.

    >>> schedule = join([0.5, lambda step: 0.1 * step], milestones=[10])
    >>> [round(float(schedule(torch.tensor(step))), 3) for step in (0, 9, 10, 12)]
    [0.5, 0.5, 0.0, 0.2]

    Equals `torch.optim.lr_scheduler.SequentialLR` and `optax.join_schedules`.
    """
    parts = [scheduled("join", schedule) for schedule in schedules]
    starts = increasing("join", "milestones", milestones)
    if len(starts) != len(parts) - 1:
        raise ValueError(
            f"join: got {len(parts)} schedules and {len(starts)} milestones; expected one milestone between each two"
        )

    def value(step: Int[Tensor, ""]) -> Scalar:
        here = at("join", parts[0], step)
        for start, part in zip(starts, parts[1:], strict=True):
            here = torch.where(step >= start, at("join", part, (step - start).clamp(min=0)), here)
        return here

    return value


def warm_up(schedule: Number, total_iters: int = 5, start_factor: float = 1 / 3) -> Schedule:
    """A straight line up to where a schedule begins, and then the schedule from its beginning.

    Args:
        schedule: what follows; a float stands for a constant one.
        total_iters: steps of the line, at least 1.
        start_factor: share of the schedule's first number at step 0, at least 0. With 0 the first update does nothing.

    Raises:
        ValueError: an argument is out of range.

    >>> from funcdl.optim import schedules
    >>> schedule = warm_up(schedules.cosine(0.1, T_max=10), total_iters=4, start_factor=0.0)
    >>> [round(float(schedule(torch.tensor(step))), 3) for step in (0, 2, 4, 9, 14)]
    [0.0, 0.05, 0.1, 0.05, 0.0]

    Equals torch's `SequentialLR([LinearLR(...), schedule], [total_iters])`.
    """
    after = scheduled("warm_up", schedule)
    whole("warm_up", "total_iters", total_iters)
    real("warm_up", "start_factor", start_factor)

    def value(step: Int[Tensor, ""]) -> Scalar:
        share = start_factor + (1 - start_factor) * step.double() / total_iters
        rising = share * at("warm_up", after, torch.zeros_like(step))
        return torch.where(step < total_iters, rising, at("warm_up", after, (step - total_iters).clamp(min=0)))

    return value


def product(*schedules: Number) -> Schedule:
    """Schedules multiplied with each other, step by step.

    Args:
        schedules: one or more; a float stands for a constant one. Only one needs to have the size of the number, the
            others may be factors around 1.

    Raises:
        ValueError: there are none.

    >>> from funcdl.optim.schedules import exponential, linear
    >>> schedule = product(linear(0.1, start_factor=0.5, total_iters=2), exponential(1.0, gamma=0.5))
    >>> [round(float(schedule(torch.tensor(step))), 4) for step in (0, 1, 2)]
    [0.05, 0.0375, 0.025]

    Equals `torch.optim.lr_scheduler.ChainedScheduler` of schedulers that multiply.
    """
    factors = [scheduled("product", schedule) for schedule in schedules]
    if not factors:
        raise ValueError("product: got no schedules; pass at least one")

    def value(step: Int[Tensor, ""]) -> Scalar:
        here = at("product", factors[0], step)
        for factor in factors[1:]:
            here = here * at("product", factor, step)
        return here

    return value
