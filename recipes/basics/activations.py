"""Activations and their derivatives: curves, ranges, and a composition of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

import funcdl as fd
from funcdl import nn, train

from .. import pictures, runtime, settings
from ..lesson import Lesson
from ..settings import Outcome
from ._ranges import ranges

FOUR = {"relu": nn.relu(), "sigmoid": nn.sigmoid(), "tanh": nn.tanh(), "softplus": nn.softplus()}
LIMITS = {"relu": (-1, 5), "sigmoid": (-0.2, 1.2), "tanh": (-1.2, 1.2), "softplus": (-0.2, 6)}  # of the plots
SIX = {
    "tanh": nn.tanh(),
    "hardtanh": nn.hardtanh(),
    "sigmoid": nn.sigmoid(),
    "softplus": nn.softplus(),
    "relu": nn.relu(),
    "leaky_relu(0.1)": nn.leaky_relu(0.1),
}


@dataclass(frozen=True, kw_only=True)
class Settings(settings.DeviceSettings):
    """Look at activations beside their derivatives, which decide how much gradient passes through them.

    Sigmoid and tanh flatten out on both sides, where hardly any gradient passes; ReLU passes all of it or none. Sums of
    scaled and shifted bends can follow any curve, as the book's composition of four tanh shows. The derivatives are
    `vmap(grad(f))`: the gradient of one number in one number, at all points at once.
    """


def run(settings: Settings, report: train.Report) -> Outcome:
    """Shows values and derivatives, and draws them."""
    lesson = Lesson()
    with runtime.choose_device(settings.device) as device:
        four(lesson, report)
        six(lesson, report)
        composition(lesson, report)
    return Outcome(lesson.metrics, device=device.type, lesson=lesson)


def derivative(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Returns the derivative of a function of a number, as a function of a vector of numbers."""
    return fd.vmap(fd.grad(f))


def four(lesson: Lesson, report: train.Report) -> None:
    """Four activations on [-5, 5], and formulas for their derivatives."""
    x = torch.linspace(-5, 5, 200)
    lesson.show_code("points", len(x), "200", preceding=1)
    ends = torch.tensor([-5.0, 0.0, 5.0])
    functions = {name: partial(layer, {}) for name, layer in FOUR.items()}
    for name, f in functions.items():
        lesson.show(name, f"{name} at -5, 0 and 5; below, its derivative", [f(ends), derivative(f)(ends)])
    s, t = functions["sigmoid"](x), functions["tanh"](x)
    for name, formula, by_hand in (
        ("sigmoid", "s (1 - s)", s * (1 - s)),
        ("tanh", "1 - t²", 1 - t**2),
        ("softplus", "sigmoid", s),
        ("relu", "1 for x > 0", (x > 0).float()),
    ):
        close = torch.allclose(derivative(functions[name])(x), by_hand, atol=1e-6)
        lesson.show(f"{name}_derivative", f"vmap(grad({name}))(x) equals {formula}", close)
    lesson.remark("At 0, where ReLU has a corner, its derivative is taken as 0.")
    lesson.remark("The class is torch.nn.Sigmoid and the function torch.sigmoid; there is no torch.nn.sigmoid.")
    lesson.remark(
        "A hidden layer and an output layer are no activations: an activation bends what comes out of a linear layer."
    )
    report.picture(
        "activations",
        pictures.derivatives(
            functions, x, "Four activations and their derivatives: flat parts pass no gradient", LIMITS
        ),
    )


def six(lesson: Lesson, report: train.Report) -> None:
    """Six activations on [-3, 3], and the ranges of their values."""
    x = torch.arange(-3, 3.1, 0.1)
    lesson.show_code("book_points", len(x), "61", preceding=1)
    functions = {name: partial(layer, {}) for name, layer in SIX.items()}
    leaky, ends = functions["leaky_relu(0.1)"], torch.tensor([-100.0, 100.0])
    lesson.show_code("leaky_relu", nn.leaky_relu(0.1)({}, torch.tensor(-3.0)), "-0.3")
    lesson.show("leaky_slope", "vmap(grad(leaky_relu(0.1))) at -100 and 100", derivative(leaky)(ends), "k, 1")
    report.picture("ranges", ranges(lesson, functions))
    lesson.show_code("hardtanh_0_10", nn.hardtanh(0.0, 10.0)({}, torch.tensor([-5.0, 5.0, 15.0])), "0, 5, 10")
    lesson.remark("Hardtanh cuts off at -1 and 1 by default; 0 and 10 have to be given: hardtanh(0, 10).")
    report.picture(
        "book",
        pictures.derivatives(
            functions, x, "Six activations and their derivatives: the slope is the gradient that passes"
        ),
    )


def composition(lesson: Lesson, report: train.Report) -> None:
    """A curve composed of four tanh, C(A + B) + D(A + B), and the sum of the first two, A + B."""
    x = torch.arange(-3, 3.1, 0.1)

    def inner(x: Tensor) -> Tensor:
        return torch.tanh(-2 * x - 1.25) + torch.tanh(x + 0.75)

    def composed(x: Tensor) -> Tensor:
        return torch.tanh(4 * inner(x) + 1) + torch.tanh(-3 * inner(x) + 1.5)

    ends = composed(x)[[0, -1]]
    lesson.show("composition", "C(A + B) + D(A + B) at -3 and 3", ends, "1.6885, 1.6655")
    lesson.remark("The book's plot is titled D = tanh(-3x - 1.5); the curve in it is that of tanh(-3x + 1.5).")
    functions = {"A + B = tanh(-2x - 1.25) + tanh(x + 0.75)": inner, "C(A + B) + D(A + B)": composed}
    report.picture(
        "composition", pictures.derivatives(functions, x, "Bends composed: C = tanh(4x + 1), D = tanh(-3x + 1.5)")
    )
