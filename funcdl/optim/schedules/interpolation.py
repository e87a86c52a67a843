"""Schedules given by points, with interpolation between them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from funcdl.optim.hyperparameters import Scalar, Schedule
from funcdl.optim.schedules.validation import check_choice, check_number, check_steps


def piecewise(
    points: Mapping[int, float | Tensor], interpolate: Literal["constant", "linear", "cos"] = "constant"
) -> Schedule:
    """Given values at given steps, with constant, linear or cosine interpolation between them.

    Args:
        points: `{step: value}`. The first value holds before its step, the last one after its step.
        interpolate: "constant" keeps each value until the next step, "linear" and "cos" lead to the next value.

    Raises:
        ValueError: there are no points, one is out of range, or `interpolate` is unknown.

    >>> schedule = piecewise({0: 0.1, 10: 0.2, 20: 0.0}, interpolate="linear")
    >>> [round(float(schedule(torch.tensor(step))), 3) for step in (0, 5, 10, 15, 25)]
    [0.1, 0.15, 0.2, 0.1, 0.0]

    Equals `optax.piecewise_constant_schedule` and `optax.piecewise_interpolate_schedule`, which take factors.
    """
    if not isinstance(points, Mapping):
        raise ValueError(
            f"piecewise: points={points!r} is not a dict; pass numbers by step, such as {{0: 0.1, 10: 0.01}}"
        )
    if not points:
        raise ValueError("piecewise: points is empty; pass at least one number, such as {0: 0.1}")
    check_choice("piecewise", "interpolate", interpolate, ["constant", "linear", "cos"])
    for step, number in points.items():
        check_steps("piecewise", "a step of points", step, low=0)
        check_number("piecewise", f"points[{step}]", number)
    pairs = sorted(points.items())

    def value(step: Int[Tensor, ""]) -> Scalar:
        if interpolate != "constant":
            return interpolate_points(step, pairs, interpolate)
        current = torch.zeros_like(step, dtype=torch.float64) + pairs[0][1]
        for start, number in pairs[1:]:
            current = torch.where(step >= start, number, current)
        return current

    return value


def interpolate_points(step: Int[Tensor, ""], points: Sequence[tuple[float, float | Tensor]], strategy: str) -> Scalar:
    """Interpolates between `(step, value)` points; `strategy` is "linear" or "cos"."""
    value = torch.zeros_like(step, dtype=torch.float64) + points[0][1]
    for (start, first), (end, last) in itertools.pairwise(points):
        progress = ((step.double() - start) / (end - start)).clamp(0, 1)
        if strategy == "cos":
            progress = (1 - torch.cos(math.pi * progress)) / 2
        value = torch.where(step > start, first + (last - first) * progress, value)
    return value
