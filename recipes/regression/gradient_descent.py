"""Gradient descent on one parameter: three ways to the gradient, and the rates at which it arrives or diverges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

import funcdl as fd
from funcdl import optim, train
from recipes import runtime, settings
from recipes.lesson import Lesson
from recipes.regression.points import descent, points
from recipes.settings import Outcome

ValueAndGrad = Callable[..., tuple[Tensor, Tensor]]

START = 1.0
LECTURE = {  # by rate: the cost and w of some epochs, each before its update, then w and the prediction after the last
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


@dataclass(frozen=True, kw_only=True)
class Settings(settings.Settings):
    """Fit y = w x to the points (1, 2), (2, 4), (3, 6) by w <- w - rate * gradient, beginning at w = 1.

    The gradient of the mean squared error comes from the derivative written by hand, from `backward()`, and from
    `funcdl.grad`; all three descend alike. The cost is (14/3) (w - 2)^2, so each update multiplies the distance to
    w = 2 by 1 - 28/3 rate: at 0.01 it shrinks slowly, at 0.1 to a fifteenth, and from 3/14 on it grows. Try `--lr 1`.
    """

    dataset: Literal["sample"] = "sample"
    """The lecture's three points."""
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
    """Shows the gradient in three ways, descends by each, and shows what the rate does."""
    epochs, lesson = settings.epochs or 100, Lesson()
    device = runtime.choose_device(settings.device)
    x, y = points(device=device)
    start = torch.tensor(START, dtype=x.dtype, device=device)
    ways: dict[str, ValueAndGrad] = {"hand": by_hand, "backward": by_backward, "grad": fd.value_and_grad(cost)}
    expressions = {
        "hand": "sum(2 x (x w - y)) / 3",
        "backward": "cost.backward(); w.grad",
        "grad": "grad(cost)(w, x, y)",
    }

    courses = {}
    for name, way in ways.items():
        lesson.show(f"gradient_{name}", f"{expressions[name]}, at w = 1", way(start, x, y)[1])
        last, course = train.descend(
            _at(way, x, y),
            start,
            optim.sgd(lr=settings.lr),
            steps=epochs,
            measure=lambda w, _: {"w": w},
            may_diverge=True,
            report=report if name == "hand" else None,
        )
        courses[name] = torch.cat([course["w"], last[None]]), course["loss"]
    path, losses = courses["hand"]
    count = _finite(path, losses)
    _log(lesson, settings.lr, path[: count + 1], losses[:count], epochs)
    for name in ("backward", "grad"):
        ratio = courses[name][0][: count + 1] / path[: count + 1]
        lesson.show(f"same_{name}", f"largest relative difference in w, by {name}", (ratio - 1).abs().max(), "", 2)
    _rates(lesson, settings.lr, start, x, y)
    if count < epochs:
        lesson.remark(f"The numbers overflow in update {count + 1}; what is shown is the last that is finite.")
    report.picture("descent", descent(lambda w: cost(w, x, y), path[: count + 1], f"rate {settings.lr:g}"))
    return Outcome(lesson.metrics, epochs, device.type, lesson=lesson)


def _at(way: ValueAndGrad, x: Tensor, y: Tensor) -> ValueAndGrad:
    return lambda w, _: way(w, x, y)


def _log(lesson: Lesson, lr: float, path: Tensor, losses: Tensor, epochs: int) -> None:
    """The lecture's log, cost and w before each update, some lines of it in the table and all among the metrics."""
    figures, last, prediction = LECTURE.get(lr, ({}, "", ""))
    for epoch in sorted({0, 1, 2, 13, 14, len(losses) - 1} & set(range(len(losses)))):
        line = torch.stack([losses[epoch], path[epoch]])
        lesson.show(f"epoch_{epoch}", f"epoch {epoch}: cost, w", line, figures.get(epoch, ""), 17)
    lesson.metrics |= {"loss": losses[-1].item(), "loss_log": losses.tolist(), "w_log": path[:-1].tolist()}
    last, prediction = (last, prediction) if epochs == 100 else ("", "")
    lesson.show("w", f"w after {len(losses)} updates", path[-1], last, 17)
    lesson.show("prediction", "prediction for x = 4", 4 * path[-1], prediction, 17)


def _rates(lesson: Lesson, lr: float, w: Tensor, x: Tensor, y: Tensor) -> None:
    """What the curvature of the cost says about a rate."""
    curvature = lesson.show("curvature", "grad(grad(cost))(w, x, y)", fd.grad(fd.grad(cost))(w, x, y), "28/3")
    limit = lesson.show("limit", "rate from which on it diverges: 2 / curvature", 2 / curvature, "3/14 = 0.2143")
    lesson.show("one_step", "rate that arrives in one step: 1 / curvature", 1 / curvature, "3/28 = 0.1071")
    known = {0.1: "1/15", 1.0: "-25/3"}
    factor = lesson.show(
        "factor", "w - 2 after an update / before: 1 - rate * curvature", 1 - lr * curvature, known.get(lr, "")
    )
    lesson.show("diverges", "abs(factor) >= 1", bool(factor.abs() >= 1))
    if factor.abs() >= 1:
        lesson.remark(
            f"Rate {lr:g} diverges: every update multiplies the distance to w = 2 by {factor.item():.4g}. "
            f"It must from 3/14 = {limit.item():.4f} on; choose a lower rate."
        )
    lesson.remark(
        "That 0.1 arrives is not luck: rates between 0 and 3/14 converge, and 0.1 is near 3/28, which needs one step. "
        "The rate that the notes lost from their diverging log is 1."
    )


def _sum(values: Tensor) -> Tensor:
    first, second, third = values.unbind()  # torch.sum may add in another order
    return first + second + third


def _finite(path: Tensor, losses: Tensor) -> int:
    """How many updates were made before a number overflowed."""
    bad = (~(path[1:].isfinite() & losses.isfinite())).nonzero()
    return int(bad[0]) if len(bad) else len(losses)
