"""The thermometer's first figures: the loss at the start, two descents at bad rates, and the least squares."""

from __future__ import annotations

import torch
from torch import Tensor

import funcdl as fd
from funcdl import data, train, tree

from ..lesson import Lesson
from ._slopes import finite_difference, loss, manual, rate_times_gradient

MARKS = (1, 2, 3, 10, 100, 500, 1000, 3000, 5000)  # the steps before which losses are shown


def at_the_start(lesson: Lesson, readings: Tensor, celsius: Tensor, start: tree.Tree) -> None:
    """The loss and the gradients at w = 1 and b = 0, and two descents on the readings as they are."""
    lesson.show(
        "start_loss", "loss at the start, w = 1 and b = 0", loss(start, readings, celsius), "1763.8846", digits=8
    )
    methods = {
        "differences": finite_difference(readings, celsius),
        "manual": manual(readings, celsius),
        "autograd": fd.value_and_grad(lambda params, _: loss(params, readings, celsius)),
    }
    for name, method in methods.items():
        grads = method(start, ())[1]
        figure = "" if name == "differences" else "4517.2969 82.6"
        lesson.show(
            f"gradient_{name}",
            f"gradient there in w and b, by {name}",
            torch.stack([grads["w"], grads["b"]]),
            figure,
            digits=8,
        )
    for lr, epochs, name, figure in (
        (1e-2, 11, "diverging", "1763.884644 5802485.5 19408035840 ... inf"),
        (1e-4, 100, "crawling", "1763.884644 323.090546 78.929634 29.105242 29.022669"),
    ):
        w_b, history = train.minimize(
            manual(readings, celsius), start, rate_times_gradient(lr), steps=epochs, may_diverge=True
        )
        losses = history["loss"].tolist()
        marks = [mark for mark in MARKS if mark <= epochs and losses[mark - 1] < float("inf")]
        text = f"raw readings, rate {lr:g}: losses in epochs {', '.join(map(str, marks))}"
        lesson.show(f"losses_{name}", text, [losses[mark - 1] for mark in marks], figure, digits=8)
        if name == "diverging":
            lesson.show("first_infinite", "first epoch whose loss is infinite", losses.index(float("inf")) + 1, "11")
        else:
            lesson.show(
                "params_crawling",
                "w and b after 100 epochs at that rate",
                torch.stack([w_b["w"], w_b["b"]]),
                "0.2327 -0.0438",
            )


def closed_form(lesson: Lesson) -> None:
    """The least squares by linear algebra, and the largest rate that does not diverge: 2 / the steepest curvature."""
    readings, y = data.thermometer(torch.float64)
    for name, x in (("raw", readings), ("scaled", 0.1 * readings)):
        columns = torch.stack([x, torch.ones_like(x)], 1)
        curvature = torch.linalg.eigvalsh(2 * columns.T @ columns / len(x))
        figure = {"raw": "0.00034", "scaled": "0.03298"}[name]
        lesson.show(
            f"largest_rate_{name}",
            f"largest rate that does not diverge, {name} readings",
            2 / curvature[-1],
            figure,
            digits=4,
        )
    solution = torch.linalg.lstsq(columns, y[:, None]).solution
    least = ((columns @ solution)[:, 0] - y).square().mean()
    lesson.show(
        "closed_form", "the best line, by least squares: w and b", solution[:, 0], "5.367719 -17.304786", digits=8
    )
    lesson.show("closed_form_loss", "the loss of the best line", least, "2.9276456", digits=8)
