"""Schedules given by points, and the ways from one point to the next."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from funcdl.optim.hyperparameters import Scalar, Schedule
from funcdl.optim.schedules.arguments import one_of, real, whole


def piecewise(
    points: Mapping[int, float | Tensor], interpolate: Literal["constant", "linear", "cos"] = "constant"
) -> Schedule:
    """Given numbers at given steps, and between them the last one, a straight line or half a cosine.

    Args:
        points: `{step: number}`. Before the first of the steps its number holds, after the last one the last number.
        interpolate: "constant" holds each number until the next step, "linear" and "cos" lead to the next number.

    Raises:
        ValueError: there are no points, one is out of range, or `interpolate` is unknown.

    >>> schedule = piecewise({0: 0.1, 10: 0.2, 20: 0.0}, interpolate="linear")
    >>> [round(float(schedule(torch.tensor(step))), 3) for step in (0, 5, 10, 15, 25)]
    [0.1, 0.15, 0.2, 0.1, 0.0]

    Equals `optax.piecewise_constant_schedule` and `optax.piecewise_interpolate_schedule`, which take factors.
    """
    if not isinstance(points, Mapping):
        raise ValueError(f"piecewise: points={points!r} is no dict; pass numbers by step, such as {{0: 0.1, 10: 0.01}}")
    if not points:
        raise ValueError("piecewise: points is empty; pass at least one number, such as {0: 0.1}")
    one_of("piecewise", "interpolate", interpolate, ["constant", "linear", "cos"])
    for step, number in points.items():
        whole("piecewise", "a step of points", step, low=0)
        real("piecewise", f"points[{step}]", number)
    pairs = sorted(points.items())

    def value(step: Int[Tensor, ""]) -> Scalar:
        if interpolate != "constant":
            return along(step, pairs, interpolate)
        here = torch.zeros_like(step, dtype=torch.float64) + pairs[0][1]
        for start, number in pairs[1:]:
            here = torch.where(step >= start, number, here)
        return here

    return value


def along(step: Int[Tensor, ""], points: Sequence[tuple[float, float | Tensor]], strategy: str) -> Scalar:
    """Returns where `step` is on the way from point to point; at the point itself still on the way there."""
    here = torch.zeros_like(step, dtype=torch.float64) + points[0][1]
    for (start, first), (end, last) in itertools.pairwise(points):
        share = ((step.double() - start) / (end - start)).clamp(0, 1)
        if strategy == "cos":
            share = (1 - torch.cos(math.pi * share)) / 2
        here = torch.where(step > start, first + (last - first) * share, here)
    return here
