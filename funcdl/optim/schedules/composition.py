"""Schedules composed of schedules: one after the other, with a warm-up, multiplied."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from funcdl.optim.hyperparameters import Scalar, ScalarOrSchedule, Schedule
from funcdl.optim.schedules.validation import check_increasing, check_number, check_schedule, check_steps, evaluate


def join(schedules: Sequence[ScalarOrSchedule], milestones: Sequence[int]) -> Schedule:
    """One schedule after the other, each counting steps from its own start.

    Args:
        schedules: one or more; a float is a constant schedule.
        milestones: the steps at which the second, third, ... begin, increasing.

    Raises:
        ValueError: there is not one milestone fewer than schedules, or they do not increase.

    >>> schedule = join([0.5, lambda step: 0.1 * step], milestones=[10])
    >>> [round(float(schedule(torch.tensor(step))), 3) for step in (0, 9, 10, 12)]
    [0.5, 0.5, 0.0, 0.2]

    Equals `torch.optim.lr_scheduler.SequentialLR` and `optax.join_schedules`.
    """
    checked = [check_schedule("join", schedule) for schedule in schedules]
    starts = check_increasing("join", "milestones", milestones)
    if len(starts) != len(checked) - 1:
        raise ValueError(
            f"join: got {len(checked)} schedules and {len(starts)} milestones; expected one milestone between each two"
        )

    def value(step: Int[Tensor, ""]) -> Scalar:
        current = evaluate("join", checked[0], step)
        for start, schedule in zip(starts, checked[1:], strict=True):
            current = torch.where(step >= start, evaluate("join", schedule, (step - start).clamp(min=0)), current)
        return current

    return value


def warm_up(schedule: ScalarOrSchedule, total_iters: int = 5, start_factor: float = 1 / 3) -> Schedule:
    """A linear warm-up to the first value of a schedule, then the schedule from its beginning.

    Args:
        schedule: the schedule after the warm-up; a float is a constant schedule.
        total_iters: steps of the warm-up, at least 1.
        start_factor: at step 0, factor of the schedule's first value, at least 0. With 0 the first update does nothing.

    Raises:
        ValueError: an argument is out of range.

    >>> from funcdl.optim import schedules
    >>> schedule = warm_up(schedules.cosine(0.1, T_max=10), total_iters=4, start_factor=0.0)
    >>> [round(float(schedule(torch.tensor(step))), 3) for step in (0, 2, 4, 9, 14)]
    [0.0, 0.05, 0.1, 0.05, 0.0]

    Equals torch's `SequentialLR([LinearLR(...), schedule], [total_iters])`.
    """
    main = check_schedule("warm_up", schedule)
    check_steps("warm_up", "total_iters", total_iters)
    check_number("warm_up", "start_factor", start_factor)

    def value(step: Int[Tensor, ""]) -> Scalar:
        factor = start_factor + (1 - start_factor) * step.double() / total_iters
        rising = factor * evaluate("warm_up", main, torch.zeros_like(step))
        return torch.where(step < total_iters, rising, evaluate("warm_up", main, (step - total_iters).clamp(min=0)))

    return value


def product(*schedules: ScalarOrSchedule) -> Schedule:
    """The product of schedules, step by step.

    Args:
        schedules: one or more; a float is a constant schedule. Usually one has the magnitude of the hyperparameter
            and the others are factors around 1.

    Raises:
        ValueError: there are none.

    >>> from funcdl.optim.schedules import exponential, linear
    >>> schedule = product(linear(0.1, start_factor=0.5, total_iters=2), exponential(1.0, gamma=0.5))
    >>> [round(float(schedule(torch.tensor(step))), 4) for step in (0, 1, 2)]
    [0.05, 0.0375, 0.025]

    Equals `torch.optim.lr_scheduler.ChainedScheduler` of schedulers that multiply.
    """
    factors = [check_schedule("product", schedule) for schedule in schedules]
    if not factors:
        raise ValueError("product: got no schedules; pass at least one")

    def value(step: Int[Tensor, ""]) -> Scalar:
        total = evaluate("product", factors[0], step)
        for factor in factors[1:]:
            total = total * evaluate("product", factor, step)
        return total

    return value
