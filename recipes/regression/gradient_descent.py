"""Gradient descent on one parameter: its gradient by three methods, and the rates at which it converges or diverges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import funcdl as fd
from funcdl import optim, train

from .. import settings
from ..lesson import Lesson
from ..minimization import minimizer
from ..settings import Outcome
from . import _rates
from ._costs import descent
from ._points import points

ValueAndGrad = Callable[..., tuple[Tensor, Tensor]]

START = 1.0


@dataclass(frozen=True, kw_only=True)
class Settings(settings.OptimizationSettings):
    """Fit y = w x to the points (1, 2), (2, 4), (3, 6) by w <- w - rate * gradient, beginning at w = 1.

    The gradient of the mean squared error comes from the derivative written by hand, from `backward()`, and from
    `funcdl.grad`; all three descend alike. The cost is (14/3) (w - 2)^2, so each update multiplies the distance to
    w = 2 by 1 - 28/3 rate: at 0.01 it shrinks slowly, at 0.1 to a fifteenth, and from 3/14 on it grows. Try `--lr 1`.
    """

    epochs: int | None = None
    """Updates, each on all three points; 100."""
    lr: float = 0.01
    """The rate; the lecture shows 0.01, 0.1 and 1."""


def cost(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The mean squared error of y = w x, summed up point by point, on which its last digit depends."""
    return _sum((x * w - y) ** 2) / len(x)


def by_hand(w: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The cost, and its derivative by the chain rule."""
    return cost(w, x, y), _sum(2 * x * (x * w - y)) / len(x)


def by_backward(w: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The cost, and its derivative left in `.grad` by autograd."""
    w = w.detach().requires_grad_()
    loss = cost(w, x, y)
    loss.backward()
    assert w.grad is not None
    return loss.detach(), w.grad


def run(settings: Settings, report: train.Report) -> Outcome:
    """Shows the gradient by three methods, descends by each, and shows what the rate does."""
    epochs, lesson = settings.epochs or 100, Lesson()
    minimize = minimizer(settings, report, epochs)
    x, y = points(device=minimize.device)
    start = torch.tensor(START, dtype=x.dtype, device=minimize.device)
    methods: dict[str, ValueAndGrad] = {"hand": by_hand, "backward": by_backward, "grad": fd.value_and_grad(cost)}
    expressions = {
        "hand": "sum(2 x (x w - y)) / 3",
        "backward": "cost.backward(); w.grad",
        "grad": "grad(cost)(w, x, y)",
    }

    histories = {}
    for name, method in methods.items():
        lesson.show(f"gradient_{name}", f"gradient at w = 1: {expressions[name]}", method(start, x, y)[1])
        last, history = minimize(
            _objective(method, x, y),
            start,
            optim.sgd(lr=settings.lr),
            steps=epochs,
            measure=lambda w, _: {"w": w},
            may_diverge=True,
            report=name == "hand",
        )
        histories[name] = torch.cat([history["w"], last[None]]), history["loss"]
    path, losses = histories["hand"]
    count = _rates.finite_updates(path, losses)
    _rates.show_log(lesson, settings.lr, path[: count + 1], losses[:count], epochs)
    for name in ("backward", "grad"):
        ratio = histories[name][0][: count + 1] / path[: count + 1]
        lesson.show(
            f"same_{name}",
            f"largest relative difference of w on the way, by {name} and by hand",
            (ratio - 1).abs().max(),
            "",
            2,
        )
    curvature = lesson.show(
        "curvature", "curvature of the cost: grad(grad(cost))(w, x, y)", fd.grad(fd.grad(cost))(start, x, y), "28/3"
    )
    _rates.show_convergence(lesson, settings.lr, curvature)
    if count < epochs:
        lesson.remark(f"The numbers overflow in update {count + 1}; what is shown is the last that is finite.")
    report.picture(
        "descent", descent(lambda w: cost(w, x, y), path[: count + 1], f"Downhill on the cost at rate {settings.lr:g}")
    )
    return minimize.outcome(lesson, epochs)


def _objective(method: ValueAndGrad, x: Tensor, y: Tensor) -> ValueAndGrad:
    return lambda w, _: method(w, x, y)


def _sum(values: Tensor) -> Tensor:
    first, second, third = values.unbind()  # torch.sum may add in another order
    return first + second + third
