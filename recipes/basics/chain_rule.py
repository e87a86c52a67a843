"""The chain rule: along the lecture's graphs, and through two layers with and without a bend between them."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from funcdl import random

from ..gradients import three_ways
from ..lesson import Lesson


def r(x: Tensor | float, y: float, w: Tensor, b: Tensor | float = 0.0) -> Tensor:
    """The residual: what the model w x + b says, less y."""
    return x * w + b - y


def graphs(lesson: Lesson) -> None:
    """The chain rule along the lecture's graphs."""
    ways, affine = partial(three_ways, lesson), partial(r, 1, 2)
    ways("chain", "f = 5 x w: 5 w, 5 x", "15, 10", lambda x, w: 5 * (x * w), lambda x, w: [5 * w, 5 * x], x=2.0, w=3.0)
    w, text = torch.tensor(1.0), "r = x w + b - y, r²; x = 1, y = 2, w = 1, b = 0"
    lesson.show("linear", text, [r(1, 2, w), r(1, 2, w) ** 2], "-1, 1")
    ways("linear", "f = r²: 2 x r", "-2", lambda w: r(1, 2, w) ** 2, lambda w: [2 * 1 * r(1, 2, w)], w=w)
    ways("exercise_1", "x = 2, y = 4: 2 x r", "-8", lambda w: r(2, 4, w) ** 2, lambda w: [2 * 2 * r(2, 4, w)], w=w)
    text, f = "x = 1, y = 2, b = 2: 2 x r, 2 r", lambda w, b: affine(w, b) ** 2
    ways("exercise_2", text, "2, 2", f, lambda w, b: [2 * 1 * affine(w, b), 2 * affine(w, b)], w=w, b=2.0)
    lesson.remark("The lecture prints the loss of this model as (x w - y)²; it is (x w + b - y)².")


def networks(lesson: Lesson, key: Tensor) -> None:
    """Two linear maps are one; a bend between them makes them more, and the chain rule longer."""
    matrix_key, vector_key = random.split(key).unbind()
    first, second = random.normal(matrix_key, (2, 3, 3), dtype=torch.float64)
    x, b, c = random.normal(vector_key, (3, 3), dtype=torch.float64)
    sides = [second @ (first @ x + b) + c, (second @ first) @ x + (second @ b + c)]
    lesson.show("two_linear", "W2 (W1 x + b1) + b2, (W2 W1) x + (W2 b1 + b2)", sides, "equal")
    text, f = "f = sum of these: column sums of W2 W1", lambda x: second @ (first @ x + b) + c
    three_ways(lesson, "two_linear", text, "", f, lambda x: [(second @ first).sum(0)], x=x)

    def by_hand(v: Tensor, w: Tensor) -> list[Tensor]:
        h = torch.tanh(v)
        return [2 * r(h, 2, w) * w * (1 - h**2), 2 * r(h, 2, w) * h]

    text, bent = "f = r², r = w h - 2, h = tanh(v): 2 r w (1 - h²), 2 r h", lambda v, w: r(torch.tanh(v), 2, w) ** 2
    three_ways(lesson, "hidden", text, "", bent, by_hand, v=1.0, w=1.0)
