"""Linear regression: a linear layer, a loss, an optimizer, and which optimizer gets where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

import funcdl as fd
from funcdl import losses, nn, random, train, tree

from .. import optimizer_choice, pictures, settings
from ..lesson import Lesson
from ..minimization import minimizer
from ..settings import Outcome, meant_for
from ._points import lecture_line, noisy_line
from ._predicting import predict_number

OPTIMIZERS = ("sgd", "adagrad", "adam", "adamax", "asgd", "lbfgs", "rmsprop", "rprop")
EPOCHS = {"sample": 1000, "noisy": 3000}
LECTURE = {"first_loss": "31.277143478393555", "loss_100": "0.25156", "loss": "2.98e-07"}
LECTURE |= {"w": "1.9996366500854492", "b": "0.0008257834706455469", "prediction": "7.9994"}
FIGURES = {"sample": LECTURE, "noisy": {"loss": "0.0557", "w": "4.994", "b": "7.025"}}  # the latter are the handbook's
REDUCTION: dict[str, Literal["sum", "mean"]] = {"sample": "sum", "noisy": "mean"}


@dataclass(frozen=True, kw_only=True)
class Settings(settings.OptimizerSettings):
    """Fit `y = w x + b` by a linear layer, each step on all of the data, and predict y at x = 4.

    On the lecture's three points the loss is the sum of the squared errors: with the mean, the same rate would go a
    third as far. The lecture starts at random numbers; from w = b = 0 the run is the same everywhere, and on those
    points both are computed. Late in either the loss falls by the factor (1 - lr k)^2 a step, with k the smaller
    curvature of the loss.

    The exercise: try all optimizers. Adagrad at 0.01 has barely moved after a thousand steps. L-BFGS in torch calls the
    loss itself, through a closure; here the loss is a function anyhow, and one step takes one gradient.
    """

    dataset: Literal["sample", "noisy"] = "sample"
    """sample: the lecture's (1, 2), (2, 4), (3, 6); noisy: the handbook's 256 points about y = 5 x + 7, mean loss."""
    epochs: int | None = None
    """Steps, each on all points; 1000 on the sample, 3000 on the noisy points."""
    optimizer: Literal["sgd", "adagrad", "adam", "adamax", "asgd", "lbfgs", "rmsprop", "rprop", "all"] = "sgd"  # type: ignore[assignment]
    """One optimizer, or all of them one after the other at the same rate."""
    lr: float = 0.01
    """Learning rate."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""
        if self.optimizer == "all":
            meant_for(self, "one --optimizer", "optimizer_options")
        super().check()


def predict(settings: Settings, run_dir: Path, inputs: Sequence[str]) -> list[dict[str, Any]]:
    """Predicts y by the fitted line for values of x, such as 4, or a CSV with the column 'x'."""
    model = nn.linear(1)
    limits = (1.0, 3.0) if settings.dataset == "sample" else (0.0, 1.0)
    return predict_number(run_dir, inputs, "x", model.init(random.key(0), torch.empty(1, 1))[0], model, limits)


def run(settings: Settings, report: train.Report) -> Outcome:
    """Descends from random parameters and from zero, with each optimizer that the settings name."""
    names = OPTIMIZERS if settings.optimizer == "all" else [settings.optimizer]
    both = settings.dataset == "sample" and settings.optimizer != "all"
    epochs = settings.epochs or EPOCHS[settings.dataset]
    minimize = minimizer(settings, report, epochs * len(names) * (2 if both else 1))
    device = minimize.device
    init_key, data_key = random.split(random.key(settings.seed, device=device)).unbind()
    x, y = noisy_line(data_key) if settings.dataset == "noisy" else lecture_line(device)
    model, reduction = nn.linear(1), REDUCTION[settings.dataset]
    drawn, _ = model.init(init_key, x)
    starts = {"zero start": tree.zeros_like(drawn)} if both else {}
    starts["random start"] = drawn  # the last one is saved
    value_and_grad = fd.value_and_grad(lambda params, _: losses.mse(model(params, x), y, reduction=reduction))

    line = torch.linspace(0, 4.2 if settings.dataset == "sample" else 1, 50, device=device)[:, None]
    lesson, histories, lines = Lesson(), {}, {}
    for name in names:
        optimizer = optimizer_choice.make(name, settings.lr, settings.optimizer_options)
        for start, params in starts.items():
            rows = name == names[0] and start == "random start"
            end, history = minimize(value_and_grad, params, optimizer, steps=epochs, rows=rows)
            title = f"{name}, {start}"
            histories[title] = history["loss"].tolist()
            suffix = ("_zero" if start == "zero start" else "") + (f"_{name}" if settings.optimizer == "all" else "")
            show(lesson, settings, suffix, title, histories[title], end)
            if start == "random start":
                lines[title] = line, model(end, line)
    curvature = torch.linalg.eigvalsh(hessian(x, reduction))
    factor = (1 - settings.lr * curvature[0]) ** 2
    known = "0.985628" if settings.dataset == "sample" and settings.lr == 0.01 else ""
    text = "factor by which a late step of sgd changes the loss: (1 - lr k)^2, with k the smaller curvature"
    lesson.show("late_factor", text, factor, known)
    lesson.remark("The lecture's figures in the rows of the random start are from one of its own random starts.")

    report.picture("fit", pictures.fitted({"points": (x, y)}, lines, "The points, and the lines fitted to them"))
    report.picture("losses", pictures.loss_curves(histories, f"Fitting the line, rate {settings.lr:g}"))
    return minimize.outcome(lesson, epochs)


def hessian(x: Tensor, reduction: str) -> Tensor:
    """The curvatures of the loss in w and b, which are the same everywhere."""
    columns = torch.cat([x, torch.ones_like(x)], 1).double()
    return 2 * columns.T @ columns / (len(x) if reduction == "mean" else 1)


def show(lesson: Lesson, settings: Settings, suffix: str, title: str, history: list[float], params: tree.Tree) -> None:
    """The figures that the lecture prints: losses while training, and w, b and the prediction at the end."""
    known = suffix == "" and (settings.dataset == "noisy" or settings.optimizer == "sgd")
    figures = FIGURES[settings.dataset] if known else {}
    w, b = params["weight"].squeeze(), params["bias"].squeeze()
    rows = [("first_loss", "first loss", history[0])]
    if len(history) >= 100 and settings.optimizer != "all":
        rows.append(("loss_100", "loss in epoch 100", history[99]))
    rows += [("loss", "loss", history[-1]), ("w", "w", w), ("b", "b", b), ("prediction", "prediction", 4 * w + b)]
    if len(history) > 1 and history[-2] > 0 and settings.optimizer != "all":
        rows.append(("factor", "last loss / the one before", history[-1] / history[-2]))
    for name, description, value in rows:
        lesson.show(f"{name}{suffix}", f"{title}: {description}", value, figures.get(name, ""))
