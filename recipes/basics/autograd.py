"""Gradients by three methods: derived by hand, by backward(), and as a function of a function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from funcdl import data, losses, random, train

from .. import runtime, settings
from ..lesson import Lesson
from ..settings import Outcome
from . import _accumulation, _chain_rule, _neuron
from ._gradients import compare_gradients


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
        ctx.constant = inputs[1]  # not in forward, so that fd.grad works, too

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.constant, None


def run(settings: Settings, report: train.Report) -> Outcome:
    """Shows each gradient by three methods."""
    lesson = Lesson()
    with runtime.choose_device(settings.device) as device:
        matrix_key, network_key = random.split(random.key(settings.seed)).unbind()
        matrices(lesson, matrix_key)
        _chain_rule.graphs(lesson)
        _chain_rule.networks(lesson, network_key)
        report.picture("neuron", _neuron.forward_and_backward(lesson))
        recording(lesson)
        report.picture("zero_grad", _accumulation.accumulation(lesson))
    return Outcome(lesson.metrics, device=device.type, lesson=lesson)


def matrices(lesson: Lesson, key: Tensor) -> None:
    """Functions of tensors, and one whose derivative is written by hand."""
    v = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    lesson.show_code("mean", (v * v).mean(), "7.5", preceding=1)
    compare_gradients(lesson, "mean", lambda v: (v * v).mean(), lambda v: [v / 2], "0.5 1, 1.5 2", v=v)
    x, y = random.uniform(key, (2, 5, 5))[:, 0]  # a row of each is enough to see
    ones = [torch.ones_like(x), torch.ones_like(y)]
    compare_gradients(lesson, "sum", lambda x, y: (x + y).sum(), lambda x, y: ones, "ones", x=x, y=y)
    compare_gradients(lesson, "powers", lambda x, y: (x**2 + y**3).sum(), lambda x, y: [2 * x, 3 * y**2], x=x, y=y)
    lesson.remark("backward() of a tensor takes a weight for each element; ones make it the gradient of the sum.")
    compare_gradients(
        lesson, "custom", lambda x: _MulConstant.apply(x, 5), lambda x: [torch.full_like(x, 5)], "1", x=3.0
    )
    lesson.remark("The handbook's MulConstant hands the gradient on as it comes, 1; it has to multiply it by 5.")


def recording(lesson: Lesson) -> None:
    """What backward() needs recorded, and how the recording is switched off."""
    readings, celsius = data.thermometer()

    def loss(w: Tensor, b: Tensor) -> Tensor:
        return losses.mse(w * readings + b, celsius)

    def by_hand(w: Tensor, b: Tensor) -> list[Tensor]:
        slope = 2 / len(readings) * (w * readings + b - celsius)
        return [(slope * readings).sum(), slope.sum()]

    formula = "f = mean(r²), r = w t + b - c, of the thermometer; by hand: sum(2/11 r t), sum(2/11 r)"
    compare_gradients(lesson, "thermometer", loss, by_hand, "4517.2969, 82.6", formula=formula, w=1.0, b=0.0)
    w, b = torch.tensor(1.0, requires_grad=True), torch.tensor(0.0)
    z = w**2 + w**3
    lesson.show_code("leaves", (w.is_leaf, z.is_leaf), "True, False", preceding=2)
    assert z.grad_fn is not None
    lesson.show_code("graph", [node.name() for node, _ in z.grad_fn.next_functions if node])
    with torch.set_grad_enabled(True):
        lesson.show_code("recorded_true", loss(w, b).requires_grad, "True")
    with torch.set_grad_enabled(False):
        lesson.show_code("recorded_false", loss(w, b).requires_grad, "False")
    with torch.no_grad():
        lesson.show_code("no_grad", loss(w, b).requires_grad, "False")
    lesson.remark("fd.grad(loss) computes gradients because it is called; loss alone records nothing.")
