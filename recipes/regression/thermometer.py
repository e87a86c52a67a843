"""A thermometer without a scale: the line to degrees Celsius, by five methods of descent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

import funcdl as fd
from funcdl import data, optim, random, train, tree

from .. import optimizer_choice, pictures, settings
from ..lesson import Lesson
from ..minimization import Minimizer, minimizer
from ..settings import Outcome, meant_for
from ._predicting import predict_number
from ._slopes import finite_difference, loss, manual, rate_times_gradient
from ._thermometer_figures import MARKS, at_the_start, closed_form

START = {"w": torch.tensor(1.0), "b": torch.tensor(0.0)}
OPTIMIZERS: dict[str, Callable[..., optim.Transformation]] = {"sgd": optim.sgd, "adam": optim.adam}
RATE = 0.01
SCALES = {"scaled": 0.1, "raw": 1.0}
BOOK_SPLIT = ([9, 6, 5, 8, 4, 7, 0, 1, 3], [2, 10])


@dataclass(frozen=True, kw_only=True)
class Settings(settings.OptimizerSettings):
    """Fit `celsius = w reading + b` to 11 pairs by descent on the mean squared error, beginning at w = 1 and b = 0.

    The pairs are those of *Deep Learning with PyTorch*, chapter 5. The gradient comes from differences, from
    derivatives written by hand, or from `funcdl.grad`; the step is the rate times the gradient, `optim.sgd`, which is
    the same, or Adam. On the readings as they are the error is far steeper in w than in b, so that a rate of 0.01
    diverges and the largest stable one crawls; a tenth of the readings goes well, and Adam, whose steps do not depend
    on the size of the gradient, needs no such care:
    `--method adam --inputs raw --lr 0.1 --epochs 2000`.
    """

    epochs: int | None = None
    """Steps, each on all readings; 5000, or 3000 with a split."""
    seed: int = 0
    """Draws the 2 readings of --split random."""
    method: Literal["finite-difference", "manual", "autograd", "sgd", "adam"] = "autograd"
    """Where the gradient comes from, or the optimizer."""
    inputs: Literal["scaled", "raw"] = "scaled"
    """The readings as they are, or a tenth of them."""
    split: Literal["none", "book", "random"] = "none"
    """Which 2 of the 11 to hold out: none, the book's, or 2 that the seed draws."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""
        super().check()
        if self.method in OPTIMIZERS:
            meant_for(self, "--method finite-difference, manual or autograd", "optimizer")


def run(settings: Settings, report: train.Report) -> Outcome:
    """Shows the chapter's first figures, then descends by the method of the settings."""
    epochs, lesson = settings.epochs or (5000 if settings.split == "none" else 3000), Lesson()
    minimize = minimizer(settings, report, epochs)
    with minimize.device as device:
        readings, celsius = (leaf.to(device) for leaf in data.thermometer())
        start = tree.map(lambda leaf: leaf.to(device), START)
        at_the_start(lesson, readings, celsius, start)
        closed_form(lesson)
        params, history = descend(settings, minimize, epochs, lesson, readings, celsius, start)
    scale, rate = SCALES[settings.inputs], optimizer_choice.rate(settings, RATE)
    line = torch.stack([readings.min(), readings.max()])
    lines = {
        "fitted line": (line, params["w"] * scale * line + params["b"]),
        "Fahrenheit's": (line, (line - 32) / 1.8),
    }
    names = {"loss": "training", "val_loss": "validation"}
    curves = {names[name]: values.tolist() for name, values in history.items()}
    points, title = {"measured": (readings, celsius)}, "Readings, the fitted line, and the true scale"
    report.picture("fit", pictures.fitted(points, lines, title, "reading", "temperature (°C)"))
    title = f"The loss falls from step to step: {settings.method}, rate {rate:g}"
    report.picture("losses", pictures.loss_curves(curves, title))
    return minimize.outcome(lesson, epochs)


def predict(settings: Settings, run_dir: Path, inputs: Sequence[str]) -> list[dict[str, Any]]:
    """Predicts degrees Celsius for readings of the thermometer, such as 35.7, or a CSV with the column 't_u'."""
    readings, _ = data.thermometer()
    scale = SCALES[settings.inputs]
    limits = readings.min().item(), readings.max().item()
    return predict_number(run_dir, inputs, "t_u", START, lambda p, x: p["w"] * scale * x + p["b"], limits)


def descend(
    settings: Settings,
    minimize: Minimizer,
    epochs: int,
    lesson: Lesson,
    readings: Tensor,
    celsius: Tensor,
    start: tree.Tree,
) -> tuple[tree.Tree, dict[str, Tensor]]:
    """Descends by the method of the settings, and shows the losses."""
    x, rate = SCALES[settings.inputs] * readings, optimizer_choice.rate(settings, RATE)
    order = random.permutation(random.key(settings.seed), len(x)).tolist()
    rows, held_out = {"none": (list(range(len(x))), []), "book": BOOK_SPLIT, "random": (order[:-2], order[-2:])}[
        settings.split
    ]
    gradients = {"finite-difference": finite_difference, "manual": manual}
    by_autograd = fd.value_and_grad(lambda params, _: loss(params, x[rows], celsius[rows]))
    value_and_grad = gradients[settings.method](x[rows], celsius[rows]) if settings.method in gradients else by_autograd
    own = OPTIMIZERS.get(settings.method, rate_times_gradient)
    optimizer = optimizer_choice.choose(settings, lambda lr: own(lr=lr), RATE)
    params, history = minimize(
        value_and_grad,
        start,
        optimizer,
        steps=epochs,
        measure=(lambda params, _: {"val_loss": loss(params, x[held_out], celsius[held_out])}) if held_out else None,
    )
    marks = [mark for mark in MARKS if mark < epochs] + [epochs]
    lesson.show(
        "epochs",
        f"{settings.method}, {settings.inputs} readings, rate {rate:g}: epochs",
        marks,
    )
    words = {"loss": "training loss", "val_loss": "validation loss"}
    for name, values in history.items():
        lesson.show(
            f"{name}_at", f"{words[name]} before these steps", [values[mark - 1].item() for mark in marks], digits=8
        )
    for name, value in params.items():
        lesson.show(name, f"fitted {name}", value)
    lesson.show("loss", "training loss before the last step", history["loss"][-1], digits=8)
    if held_out:
        best = history["val_loss"].argmin().item() + 1
        lesson.show("val_loss", "validation loss before the last step", history["val_loss"][-1], digits=8)
        lesson.show("best_epoch", "epoch with the least validation loss", best)
        lesson.remark("A gap between training and validation loss is normal; when they drift apart, the line overfits.")
    lesson.remark(
        "The scale is Fahrenheit's: w is truly 0.5556 for raw readings, 5.556 for a tenth of them, and b is -17.78."
    )
    return params, history
