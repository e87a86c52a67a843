"""The chain rule: in the lecture's graphs, and through two layers with and without a nonlinearity between them."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import random

from ..lesson import Lesson
from ._gradients import compare_gradients


def residual(x: Tensor | float, y: float, w: Tensor, b: Tensor | float = 0.0) -> Tensor:
    """The prediction of the model, w x + b, less y."""
    return x * w + b - y


def graphs(lesson: Lesson) -> None:
    """The chain rule in the lecture's graphs."""
    compare_gradients(lesson, "chain", lambda x, w: 5 * (x * w), lambda x, w: [5 * w, 5 * x], "15, 10", x=2.0, w=3.0)
    w = torch.tensor(1.0)
    lesson.show_code("linear", (residual(1, 2, w), residual(1, 2, w) ** 2), "-1, 1", preceding=1)
    compare_gradients(
        lesson, "linear", lambda w: residual(1, 2, w) ** 2, lambda w: [2 * 1 * residual(1, 2, w)], "-2", w=w
    )
    compare_gradients(
        lesson, "exercise_1", lambda w: residual(2, 4, w) ** 2, lambda w: [2 * 2 * residual(2, 4, w)], "-8", w=w
    )
    compare_gradients(
        lesson,
        "exercise_2",
        lambda w, b: residual(1, 2, w, b) ** 2,
        lambda w, b: [2 * 1 * residual(1, 2, w, b), 2 * residual(1, 2, w, b)],
        "2, 2",
        w=w,
        b=2.0,
    )
    lesson.remark("The lecture prints the loss of this model as (x w - y)²; it is (x w + b - y)².")


def networks(lesson: Lesson, key: Tensor) -> None:
    """Two linear maps are one; a nonlinearity between them makes them more, and the chain rule longer."""
    matrix_key, vector_key = random.split(key).unbind()
    first, second = random.normal(matrix_key, (2, 3, 3), dtype=torch.float64)
    x, b, c = random.normal(vector_key, (3, 3), dtype=torch.float64)
    lesson.show_code("two_linear", (second @ (first @ x + b) + c, (second @ first) @ x + (second @ b + c)), "equal")
    compare_gradients(
        lesson,
        "two_linear",
        lambda x: (second @ (first @ x + b) + c).sum(),
        lambda x: [(second @ first).sum(0)],
        x=x,
    )

    def by_hand(v: Tensor, w: Tensor) -> list[Tensor]:
        h = torch.tanh(v)
        return [2 * residual(h, 2, w) * w * (1 - h**2), 2 * residual(h, 2, w) * h]

    formula = "f = r², r = w h - 2, h = tanh(v); by hand: 2 r w (1 - h²), 2 r h"
    compare_gradients(
        lesson, "hidden", lambda v, w: residual(torch.tanh(v), 2, w) ** 2, by_hand, formula=formula, v=1.0, w=1.0
    )
