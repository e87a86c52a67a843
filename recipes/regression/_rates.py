"""A descent on one parameter: its log beside the lecture's, and the rates at which it converges."""

from __future__ import annotations

import torch
from torch import Tensor

from ..lesson import Lesson

LECTURE = {  # by rate: the cost and w before some updates, counted from 0, then w and the prediction after the last
    0.01: (
        {0: "4.666666666666667 1.0", 1: "3.8362074074074086", 2: "3.1535329869958857", 99: "w=1.9999387202080534"},
        "1.9999444396553017",
        "7.999777758621207",
    ),
    0.1: (
        {1: "0.020740740740740594 1.9333333333333336", 13: "1.791371638939381e-30 1.9999999999999993", 14: "0.0 2.0"},
        "2.0",
        "8.0",
    ),
    1.0: (
        {1: "324.0740740740741 10.333333333333334", 99: "9.797608092075583e+182 1.4489608166896407e+91"},
        "",
        "-4.829869388965469e+92",
    ),
}


def finite_updates(path: Tensor, losses: Tensor) -> int:
    """The number of updates before a number overflowed."""
    bad = (~(path[1:].isfinite() & losses.isfinite())).nonzero()
    return int(bad[0]) if len(bad) else len(losses)


def show_log(lesson: Lesson, lr: float, path: Tensor, losses: Tensor, epochs: int) -> None:
    """The cost and w before each update, as the lecture prints them: some in the table, all in the metrics."""
    figures, last, prediction = LECTURE.get(lr, ({}, "", ""))
    for epoch in sorted({1, 2, 3, 14, 15, len(losses)} & set(range(1, len(losses) + 1))):
        line = torch.stack([losses[epoch - 1], path[epoch - 1]])
        text = f"epoch {epoch}, which the lecture counts as {epoch - 1}: cost and w before the update"
        lesson.show(f"epoch_{epoch}", text, line, figures.get(epoch - 1, ""), 17)
    lesson.show("loss", f"cost before the last of the {len(losses)} updates", losses[-1], digits=17)
    last, prediction = (last, prediction) if epochs == 100 else ("", "")
    lesson.show("w", f"w after {len(losses)} updates", path[-1], last, 17)
    lesson.show("prediction", "prediction for 4 hours of study: 4 w", 4 * path[-1], prediction, 17)
    lesson.show("loss_log", "the cost before each update", losses, digits=3)
    lesson.show("w_log", "w before each update", path[:-1], digits=3)


def show_convergence(lesson: Lesson, lr: float, curvature: Tensor) -> None:
    """Whether the descent converges at a rate, by the curvature of the cost."""
    limit = lesson.show(
        "limit", "rate from which on the descent diverges: 2 / curvature", 2 / curvature, "3/14 = 0.2143"
    )
    lesson.show("one_step", "rate that arrives in a single step: 1 / curvature", 1 / curvature, "3/28 = 0.1071")
    known = {0.1: "1/15", 1.0: "-25/3"}
    factor = lesson.show(
        "factor",
        "factor of the distance w - 2 in each update: 1 - rate * curvature",
        1 - lr * curvature,
        known.get(lr, ""),
    )
    lesson.show("diverges", "whether it diverges at this rate: abs(factor) >= 1", bool(factor.abs() >= 1))
    if factor.abs() >= 1:
        lesson.remark(
            f"Rate {lr:g} diverges: every update multiplies the distance to w = 2 by {factor.item():.4g}. "
            f"It must from 3/14 = {limit.item():.4f} on; choose a lower rate."
        )
    lesson.remark(
        "That 0.1 arrives is not luck: rates between 0 and 3/14 converge, and 0.1 is near 3/28, which needs one step. "
        "The rate that the notes lost from their diverging log is 1."
    )
