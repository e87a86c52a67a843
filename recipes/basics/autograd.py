"""Gradients in three ways: derived by hand, by backward(), and as a function of a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

import funcdl as fd
from funcdl import data, random, train
from recipes import runtime, settings
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


class MulConstant(torch.autograd.Function):
    """Multiplies by a constant, with a derivative written by hand."""

    @staticmethod
    def forward(x: Tensor, constant: float) -> Tensor:
        """Returns the product."""
        return x * constant

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        """Keeps what backward needs; torch.func asks for it apart from forward."""
        ctx.constant = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Returns the gradient with respect to x; the constant has none."""
        return gradient * ctx.constant, None


def run(settings: Settings, report: train.Report) -> Outcome:
    """Shows each gradient in three ways."""
    lesson = Lesson()
    with runtime.choose_device(settings.device) as device:
        matrices(lesson, random.key(settings.seed))
        graphs(lesson)
        switches(lesson)
    return Outcome(lesson.metrics, device=device.type, lesson=lesson)


def three_ways(
    lesson: Lesson, name: str, text: str, says: str, f: Callable[..., Tensor], by_hand: Callable[..., Any], **at: Any
) -> None:
    """Shows the gradient of `f` in its arguments `at`: as `by_hand` has it, by backward(), and by fd.grad."""
    values, names = [torch.as_tensor(value) for value in at.values()], ", ".join(at)
    leaves = [value.clone().requires_grad_() for value in values]
    f(*leaves).sum().backward()  # of a tensor as of its sum: backward(ones)
    functional = fd.grad(lambda *values: f(*values).sum(), argnums=tuple(range(len(values))))(*values)
    for way, expression, gradients in (
        ("by_hand", f"{text}, by hand", by_hand(*values)),
        ("backward", f"f({names}).backward(); {', '.join(f'{one}.grad' for one in at)}", [leaf.grad for leaf in leaves]),
        ("grad", f"fd.grad(f)({names})", functional),
    ):
        lesson.show(f"{name}_{way}", expression, gradients if len(at) > 1 else gradients[0], says)


def matrices(lesson: Lesson, key: Tensor) -> None:
    """Gradients of matrices, and of a function whose derivative is written by hand."""
    v = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    lesson.show("mean", "v = torch.tensor([[1., 2.], [3., 4.]]); (v * v).mean()", (v * v).mean(), "7.5")
    three_ways(lesson, "mean", "mean(v v): v / 2", "0.5 1, 1.5 2", lambda v: (v * v).mean(), lambda v: [v / 2], v=v)
    x, y = random.uniform(key, (2, 5))
    ones = torch.ones_like(x)
    three_ways(lesson, "sum", "x + y: 1, 1", "ones", lambda x, y: x + y, lambda x, y: [ones, ones], x=x, y=y)
    three_ways(
        lesson, "powers", "x² + y³: 2 x, 3 y²", "2x, 3y²", lambda x, y: x**2 + y**3, lambda x, y: [2 * x, 3 * y**2], x=x, y=y
    )
    three_ways(lesson, "custom", "x = 3: 5", "1", lambda x: MulConstant.apply(x, 5), lambda x: [torch.tensor(5.0)], x=3.0)
