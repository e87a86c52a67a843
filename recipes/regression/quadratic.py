"""Back-propagation sample by sample: a line, then a parabola, whose gradients are also written by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import funcdl as fd
from funcdl import optim, train, tree

from .. import pictures, settings
from ..lesson import Lesson
from ..minimization import minimizer
from ..settings import Outcome
from ._points import points

ValueAndGrad = Callable[..., tuple[Tensor, tree.Tree]]


@dataclass(frozen=True, kw_only=True)
class Settings(settings.OptimizationSettings):
    """Fit y = w x, then y = w1 x^2 + w2 x + b, to (1, 2), (2, 4), (3, 6) by an update after each sample.

    Where a formula branches, writing derivatives by hand grows long; back-propagation does it from the formula of the
    prediction alone. For the parabola they are 2 r x^2, 2 r x and 2 r, with r the prediction less y. Three points do
    determine it (w1 = 0, w2 = 2, b = 0), but along one direction the loss hardly falls, so that after 100 epochs it
    still bends and predicts well above 8 for x = 4.
    """

    epochs: int | None = None
    """Passes through the three points; 100."""
    lr: float = 0.01
    """Learning rate."""


def line(params: tree.Tree, x: Tensor) -> Tensor:
    """The straight line through the origin."""
    return params["w"] * x


def parabola(params: tree.Tree, x: Tensor) -> Tensor:
    """The parabola."""
    return params["w1"] * x**2 + params["w2"] * x + params["b"]


def parabola_by_hand(params: tree.Tree, x: Tensor, y: Tensor) -> tuple[Tensor, tree.Tree]:
    """The squared error of the parabola at one sample and its derivatives by the chain rule."""
    r = parabola(params, x) - y
    return r**2, {"w1": 2 * r * x**2, "w2": 2 * r * x, "b": 2 * r}


def by_backward(predict: Callable[[tree.Tree, Tensor], Tensor]) -> ValueAndGrad:
    """The squared error at one sample and its derivatives by `backward()`, which leaves them in `.grad`."""

    def value_and_grad(params: tree.Tree, x: Tensor, y: Tensor) -> tuple[Tensor, tree.Tree]:
        leaves = tree.map(lambda leaf: leaf.detach().requires_grad_(), params)
        loss = (predict(leaves, x) - y) ** 2
        loss.backward()
        return loss.detach(), tree.map(lambda leaf: leaf.grad, leaves)

    return value_and_grad


def by_grad(predict: Callable[[tree.Tree, Tensor], Tensor]) -> ValueAndGrad:
    """The same by `funcdl.value_and_grad`."""
    return fd.value_and_grad(lambda params, x, y: (predict(params, x) - y) ** 2)


def run(settings: Settings, report: train.Report) -> Outcome:
    """Descends with the line and with the parabola, by each method for the gradient."""
    epochs, lesson = settings.epochs or 100, Lesson()
    minimize = minimizer(settings, report, epochs)
    device = minimize.device
    x, y = points(torch.float32, device)
    first = {"w": torch.ones((), device=device)}
    second = {name: torch.ones((), device=device) for name in ("w1", "w2", "b")}
    lecture = epochs == 100 and settings.lr == 0.01

    def descend(method: ValueAndGrad, start: tree.Tree, report: bool = False) -> tree.Tree:
        return minimize(
            lambda params, sample: method(params, *sample),
            start,
            optim.sgd(lr=settings.lr),
            (x.repeat(epochs), y.repeat(epochs)),
            steps_per_epoch=len(x),
            report=report,
        )

    bent, history = descend(by_grad(parabola), second, report=True)  # at a rate too high the first to diverge
    fitted, _ = descend(by_backward(line), first)
    lesson.show(
        "w",
        f"y = w x: w after {epochs} epochs, by backward()",
        fitted["w"],
        "1.9999996423721313" if lecture else "",
        17,
    )
    figure = "7.999998569488525" if lecture else ""
    lesson.show("prediction", "the line: prediction for x = 4", line(fitted, torch.tensor(4.0)), figure, 17)
    lesson.show(
        "w_grad", f"y = w x: w after {epochs} epochs, by funcdl.grad", descend(by_grad(line), first)[0]["w"], "", 17
    )

    methods = {"hand": parabola_by_hand, "backward": by_backward(parabola), "grad": by_grad(parabola)}
    for name, method in methods.items():
        grads = torch.stack([method(second, x[1], y[1])[1][key] for key in second])
        lesson.show(f"gradient_{name}", f"parabola, w1 = w2 = b = 1, sample (2, 4): gradient by {name}", grads)
    for name, method in methods.items():
        values = torch.stack(list(descend(method, second)[0].values()))
        lesson.show(f"params_{name}", f"parabola: w1, w2, b after {epochs} epochs, by {name}", values)
    for key, value in bent.items():
        lesson.show(key, f"parabola: {key}", value)
    lesson.show("loss", "parabola: squared error of the last sample", history["loss"][-1])
    figure = "well above 8" if lecture else ""
    lesson.show("prediction_parabola", "the parabola: prediction for x = 4", parabola(bent, torch.tensor(4.0)), figure)
    _slow_direction(lesson, x, settings.lr)

    grid = torch.linspace(0, 4, 81, device=device)
    curves = {"line": (grid, line(fitted, grid)), "parabola": (grid, parabola(bent, grid))}
    report.picture(
        "fit",
        pictures.fitted(
            {"samples": (x, y)}, curves, f"A line and a parabola, fitted in {epochs} epochs", "hours", "points"
        ),
    )
    return minimize.outcome(lesson, epochs)


def _slow_direction(lesson: Lesson, x: Tensor, lr: float) -> None:
    """How fast the slowest combination of w1, w2 and b converges, by the curvature of the mean squared error."""
    powers = torch.stack([x**2, x, torch.ones_like(x)], 1).double()
    slowest = torch.linalg.eigvalsh(2 * powers.T @ powers)[0]
    share = lesson.show(
        "kept", "share of the slowest error that is left after one epoch, by the curvature", (1 - lr * slowest).item()
    )
    lesson.remark(
        f"Through three points of a line the best parabola is that line, and predicts 8. But in one direction of w1, "
        f"w2 and b the error shrinks by only {1 - share:.2%} in an epoch, so the prediction stays above 8 for long."
    )
