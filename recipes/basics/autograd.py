"""Gradients in three ways: derived by hand, by backward(), and as a function of a function."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from funcdl import data, losses, random, train

from .. import runtime, settings
from ..gradients import three_ways
from ..lesson import Lesson
from ..settings import Outcome
from . import chain_rule


@dataclass(frozen=True, kw_only=True)
class Settings(settings.SeedSettings, settings.DeviceSettings):
    """Derive gradients by hand, let backward() collect them in `.grad`, and get them as the result of a function.

    `fd.grad(f)` is a function like f that returns the gradient: nothing is marked with requires_grad, nothing adds up
    in `.grad` and has to be zeroed, nothing is switched off where no gradient is wanted. All three agree.
    """


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
        chain_rule.graphs(lesson)
        chain_rule.networks(lesson, network_key)
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
