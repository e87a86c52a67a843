"""Hours of study and passing the exam: logistic regression on three points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor

import funcdl as fd
from funcdl import losses, nn, optim, random, train, tree

from .. import pictures, runtime, settings
from ..axes import heading, legend_below
from ..lesson import Lesson
from ..settings import Outcome

HOURS = torch.tensor([[1.0], [2.0], [3.0]])
PASSED = torch.tensor([[0.0], [0.0], [1.0]])


@dataclass(frozen=True, kw_only=True)
class Settings(settings.TrainingSettings):
    """Fit the probability to pass an exam, sigmoid(w hours + b), to three students: 1 and 2 hours fail, 3 hours pass.

    The loss is the binary cross entropy, summed over the three; every epoch sees all of them. Where the probability is
    one half, at -b / w hours, the classes meet. As the points can be separated the best w is infinite: the boundary
    settles early, between 2 and 3 hours, and w goes on growing ever more slowly.
    """

    epochs: int = 1000
    """Passes through the three points; 100 are visibly too few."""
    seed: int = 0
    """Draws the random start."""
    start: Literal["zero", "random"] = "zero"
    """zero: from w = b = 0, where every probability is one half; random: as torch draws them."""
    lr: float = 0.01
    """Learning rate."""


def run(settings: Settings, report: train.Report) -> Outcome:
    """Descends from the start chosen and shows the probabilities and the boundary."""
    device = runtime.choose_device(settings.device)
    compiled = runtime.choose_compile(settings.compile, device, settings.epochs, report)
    hours, passed = HOURS.to(device), PASSED.to(device)
    model = nn.serial(linear=nn.linear(1), sigmoid=nn.sigmoid())
    params, _ = model.init(random.key(settings.seed, device=device), hours)
    if settings.start == "zero":
        params = tree.zeros_like(params)

    def loss(params: tree.Tree, _: tree.Tree) -> Tensor:
        return losses.binary_cross_entropy(model(params, hours), passed, reduction="sum")

    def line(params: tree.Tree, _: tree.Tree) -> dict[str, Tensor]:
        return {"w": params["linear"]["weight"].squeeze(), "b": params["linear"]["bias"].squeeze()}

    optimizer = optim.sgd(lr=settings.lr)
    params, history = train.minimize(
        fd.value_and_grad(loss),
        params,
        optimizer,
        steps=settings.epochs,
        measure=line,
        compile=compiled,
        report=report,
        info=runtime.environment(device, compiled),
    )

    lesson = Lesson()
    w, b = (value.item() for value in line(params, ()).values())
    lesson.show("first_loss", "loss before the first step", history["loss"][0], "3 ln 2 = 2.0794 from zero")
    lesson.show("loss", "loss(params)", loss(params, ()))
    lesson.show("w", "w", w)
    lesson.show("b", "b", b)
    boundary = -b / w if w else None  # the first step from zero changes b alone: all three probabilities stay alike
    lesson.show("boundary", "-b / w, hours for one half", "none yet" if boundary is None else boundary, "about 2.42")
    lesson.show("prediction", "model(params, [[4.]])", model(params, torch.tensor([[4.0]], device=device)).item())
    lesson.show("probabilities", "model(params, hours)", model(params, hours).flatten(), "fail, fail, pass")
    report.picture("logistic", picture(hours, passed, lambda x: model(params, x), boundary))
    return Outcome(lesson.metrics, settings.epochs, device.type, compiled, lesson)


def picture(hours: Tensor, passed: Tensor, model: Callable[[Tensor], Tensor], boundary: float | None) -> Figure:
    """The probability to pass by the hours of study, the three students, and where it is one half."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    heading(figure, "The probability to pass the exam, by the hours of study")
    axes = figure.subplots()
    line = torch.linspace(0, 10, 200, device=hours.device).unsqueeze(1)
    axes.plot(
        line.flatten().tolist(), model(line).flatten().tolist(), color=pictures.BLUE, label="sigmoid(w hours + b)"
    )
    axes.plot(hours.flatten().tolist(), passed.flatten().tolist(), "o", color=pictures.ORANGE, label="students")
    axes.axhline(0.5, color=pictures.GRAY, linestyle=":")
    if boundary is not None:
        axes.axvline(boundary, color=pictures.GRAY, linestyle="--", label=f"one half at {boundary:.2f} h")
    axes.set(xlabel="study (hours a week)", ylabel="probability to pass")
    axes.grid(alpha=0.3)
    legend_below(figure)
    return figure
