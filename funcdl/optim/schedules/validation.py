"""Checks of the arguments of schedules."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from jaxtyping import Int
from torch import Tensor

from funcdl.optim.hyperparameters import Scalar, ScalarOrSchedule, check_hyperparameter, current_value


def check_number(
    owner: str, name: str, value: Any, low: float = 0.0, high: float = math.inf, *, open: bool = True
) -> float | Tensor:
    """Returns `value` if it is a float or a 0-dim tensor in `[low, high)` (or `[low, high]` unless `open`).

    >>> check_number("cosine", "lr", -0.1)
    Traceback (most recent call last):
    ValueError: cosine: lr=-0.1 is out of range; expected a number in [0, inf)
    """
    if callable(value):
        raise ValueError(f"{owner}: {name} is a function, expected a number; schedules combine by join and product")
    return check_hyperparameter(owner, name, value, low, high, open=open)  # type: ignore[return-value]


def check_steps(owner: str, name: str, value: Any, low: int = 1) -> int:
    """Returns `value` if it is an int of at least `low`.

    >>> check_steps("cosine", "T_max", 0)
    Traceback (most recent call last):
    ValueError: cosine: T_max=0 is out of range; expected an integer number of steps, at least 1
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(
            f"{owner}: {name}={value!r} is out of range; expected an integer number of steps, at least {low}"
        )
    return value


def check_choice(owner: str, name: str, value: str, choices: Sequence[str]) -> str:
    """Returns `value` if it is one of the `choices`.

    >>> check_choice("piecewise", "interpolate", "cubic", ["linear", "cos"])
    Traceback (most recent call last):
    ValueError: piecewise: interpolate='cubic' is unknown; expected 'linear' or 'cos'
    """
    if value not in choices:
        raise ValueError(f"{owner}: {name}={value!r} is unknown; expected {' or '.join(map(repr, choices))}")
    return value


def check_increasing(owner: str, name: str, values: Sequence[int]) -> list[int]:
    """Returns `values` as a list if they are ints of at least 1, each larger than the one before.

    >>> check_increasing("join", "milestones", [5, 3])
    Traceback (most recent call last):
    ValueError: join: milestones=[5, 3] must increase; pass each step once, in order
    """
    if not isinstance(values, (list, tuple, range)):
        raise ValueError(f"{owner}: {name}={values!r} is not a list; pass the steps as one, such as [30, 80]")
    found = [check_steps(owner, name, value) for value in values]
    if any(a >= b for a, b in itertools.pairwise(found)):
        raise ValueError(f"{owner}: {name}={found} must increase; pass each step once, in order")
    return found


def check_schedule(owner: str, value: Any) -> ScalarOrSchedule:
    """Returns `value` if it is a schedule, or a number that is a valid constant schedule."""
    return value if callable(value) else check_number(owner, "the schedule", value)


def evaluate(owner: str, schedule: ScalarOrSchedule, step: Int[Tensor, ""]) -> Scalar:
    """Returns the value of a schedule, or of a number as a constant schedule, at `step`."""
    return current_value(schedule, step, owner)
