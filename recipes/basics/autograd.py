"""Gradients in three ways: derived by hand, by backward(), and as a function of a function."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from funcdl import data, losses, random, train
from recipes import runtime, settings
from recipes.gradients import three_ways
from recipes.lesson import Lesson
from recipes.settings import Outcome


@dataclass(frozen=True, kw_only=True)
class Settings(settings.Settings):
    """Derive gradients by hand, let backward() collect them in `.grad`, and get them as the result of a function.

    `fd.grad(f)` is a function like f that returns the gradient: nothing is marked with requires_grad, nothing adds up
    in `.grad` and has to be zeroed, nothing is switched off where no gradient is wanted. All three agree.
    """

    dataset: Literal["sample"] = "sample"
    """The tutorials' numbers."""


class _MulConstant(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, constant: float) -> Tensor:
        return x * constant

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.constant = inputs[1]  # apart from forward, so that fd.grad can use it too

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.constant, None


def run(settings: Settings, report: train.Report) -> Outcome:
    """Shows each gradient in three ways."""
    lesson = Lesson()
    with runtime.choose_device(settings.device) as device:
        matrix_key, network_key = random.split(random.key(settings.seed)).unbind()
        matrices(lesson, matrix_key)
        graphs(lesson)
        networks(lesson, network_key)
        switches(lesson)
    return Outcome(lesson.metrics, device=device.type, lesson=lesson)


def matrices(lesson: Lesson, key: Tensor) -> None:
    """Functions of tensors, and one whose derivative is written by hand."""
    ways = partial(three_ways, lesson)
    v = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    lesson.show("mean", "v = torch.tensor([[1., 2.], [3., 4.]]); (v * v).mean()", (v * v).mean(), "7.5")
    ways("mean", "f = mean(v v): v / 2", "0.5 1, 1.5 2", lambda v: (v * v).mean(), lambda v: [v / 2], v=v)
    x, y = random.uniform(key, (2, 5, 5))[:, 0]  # a row of each is enough to see
    ones = [torch.ones_like(x), torch.ones_like(y)]
    ways("sum", "f = sum(x + y): 1, 1", "ones", lambda x, y: x + y, lambda x, y: ones, x=x, y=y)
    ways("powers", "f = sum(x² + y³): 2x, 3y²", "", lambda x, y: x**2 + y**3, lambda x, y: [2 * x, 3 * y**2], x=x, y=y)
    lesson.remark("backward() of a tensor takes a weight for each element; ones make it the gradient of the sum.")
    ways("custom", "f = 5 x: 5", "1", lambda x: _MulConstant.apply(x, 5), lambda x: [torch.full_like(x, 5)], x=3.0)
    lesson.remark("The handbook's MulConstant hands the gradient on as it comes, 1; it has to multiply it by 5.")


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


def switches(lesson: Lesson) -> None:
    """What backward() needs recorded, and how the recording is switched off."""
    readings, celsius = data.thermometer()

    def loss(w: Tensor, b: Tensor) -> Tensor:
        return losses.mse(w * readings + b, celsius)

    def by_hand(w: Tensor, b: Tensor) -> list[Tensor]:
        slope = 2 / len(readings) * (w * readings + b - celsius)
        return [(slope * readings).sum(), slope.sum()]

    text = "f = mean(r²), r = w t + b - c, of the thermometer: sum(2/11 r t), sum(2/11 r)"
    three_ways(lesson, "thermometer", text, "4517.2969, 82.6", loss, by_hand, w=1.0, b=0.0)
    w, b = torch.tensor(1.0, requires_grad=True), torch.tensor(0.0)
    z: Any = w**2 + w**3
    lesson.show("leaves", "z = w**2 + w**3; w.is_leaf, z.is_leaf", [w.is_leaf, z.is_leaf], "True, False")
    lesson.show("graph", "z.grad_fn.next_functions", [node.name() for node, _ in z.grad_fn.next_functions])
    for is_train in (True, False):
        with torch.set_grad_enabled(is_train):
            recorded = loss(w, b).requires_grad
        text = f"with torch.set_grad_enabled({is_train}): loss(w, b).requires_grad"
        lesson.show(f"recorded_{is_train}".lower(), text, recorded, str(is_train))
    with torch.no_grad():
        lesson.show("no_grad", "with torch.no_grad(): loss(w, b).requires_grad", loss(w, b).requires_grad, "False")
    lesson.remark("fd.grad(loss) computes gradients because it is called; loss alone records nothing.")
