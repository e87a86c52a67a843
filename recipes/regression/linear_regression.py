"""Linear regression: a linear layer, a loss, an optimizer, and which optimizer gets where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

import funcdl as fd
from funcdl import losses, nn, optim, random, train, tree
from recipes import pictures, runtime, settings
from recipes.lesson import Lesson
from recipes.regression.points import points
from recipes.settings import Outcome

OPTIMIZERS: dict[str, Callable[..., optim.Transformation]] = {
    "sgd": optim.sgd,
    "adagrad": optim.adagrad,
    "adam": optim.adam,
    "adamax": optim.adamax,
    "asgd": optim.asgd,
    "lbfgs": optim.lbfgs,
    "rmsprop": optim.rmsprop,
    "rprop": optim.rprop,
}
EPOCHS = {"sample": 1000, "noisy": 3000}
REDUCTION: dict[str, Literal["sum", "mean"]] = {"sample": "sum", "noisy": "mean"}


@dataclass(frozen=True, kw_only=True)
class Settings(settings.Settings):
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
    optimizer: Literal["sgd", "adagrad", "adam", "adamax", "asgd", "lbfgs", "rmsprop", "rprop", "all"] = "sgd"
    """One optimizer, or all of them one after the other at the same rate."""


def samples(dataset: str, key: Tensor) -> tuple[Tensor, Tensor]:
    """Returns x and y, each of shape (n, 1)."""
    if dataset == "sample":
        x, y = points(torch.float32, key.device)
        return x[:, None], y[:, None]
    x_key, noise_key = random.split(key).unbind()
    x = random.uniform(x_key, (256, 1))
    return x, 5 * x + 7 + random.normal(noise_key, (256, 1), std=0.25)


def run(settings: Settings, report: train.Report) -> Outcome:
    """Descends from random parameters and from zero, with each optimizer that the settings name."""
    device = runtime.choose_device(settings.device)
    init_key, data_key = random.split(random.key(settings.seed, device=device)).unbind()
    x, y = samples(settings.dataset, data_key)
    model, reduction = nn.linear(1), REDUCTION[settings.dataset]
    drawn, _ = model.init(init_key, x)
    both = settings.dataset == "sample" and settings.optimizer != "all"
    starts = {"zero start": tree.zeros_like(drawn)} if both else {}
    starts["random start"] = drawn  # the last one is saved
    slope = fd.value_and_grad(lambda params, _: losses.mse(model(params, x), y, reduction=reduction))
    names = list(OPTIMIZERS) if settings.optimizer == "all" else [settings.optimizer]
    epochs = settings.epochs or EPOCHS[settings.dataset]
    steps = epochs * len(names) * len(starts)
    compiled = runtime.choose_compile(settings.compile, device, steps, report, runtime.REPAY_SMALL_STEPS)

    lesson, courses, ends = Lesson(), {}, {}
    for name in names:
        optimizer = OPTIMIZERS[name](lr=settings.lr)
        for start, params in starts.items():
            main = name == names[0] and start == "random start"
            ends[name, start], course = train.descend(
                slope,
                params,
                optimizer,
                steps=epochs,
                compiled=compiled,
                report=report,
                rows=main,
                info=runtime.environment(device, compiled),
            )
            courses[f"{name}, {start}"] = course["loss"].tolist()
    for (name, start), params in ends.items():
        suffix = ("_zero" if start == "zero start" else "") + (f"_{name}" if settings.optimizer == "all" else "")
        show(lesson, settings, suffix, f"{name}, {start}", courses[f"{name}, {start}"], params)
    curvature = torch.linalg.eigvalsh(hessian(x, reduction))
    factor = (1 - settings.lr * curvature[0]) ** 2
    lesson.show("late_factor", "(1 - lr k)^2", factor, "0.985628" if settings.dataset == "sample" else "")
    lesson.remark("The lecture's figures in the rows of the random start are from one of its own random starts.")

    line = torch.linspace(0, 4.2 if settings.dataset == "sample" else 1, 50, device=device)[:, None]
    lines = {f"{name}, {start}": (line, model(params, line)) for (name, start), params in ends.items()}
    kept = {name: line for name, line in lines.items() if "random" in name}
    report.picture("fit", pictures.fitted({"points": (x, y)}, kept, f"linear regression on {settings.dataset}"))
    report.picture("losses", pictures.descents(courses, f"linear regression, rate {settings.lr:g}"))
    return Outcome(lesson.metrics, epochs, device.type, compiled, lesson)


def hessian(x: Tensor, reduction: str) -> Tensor:
    """The curvatures of the loss in w and b, which are the same everywhere."""
    columns = torch.cat([x, torch.ones_like(x)], 1).double()
    return 2 * columns.T @ columns / (len(x) if reduction == "mean" else 1)


def show(lesson: Lesson, settings: Settings, suffix: str, title: str, course: list[float], params: tree.Tree) -> None:
    """What the lecture prints: the losses on the way, and w, b and the prediction at the end."""
    lecture = settings.dataset == "sample" and settings.optimizer == "sgd" and suffix == ""
    handbook = settings.dataset == "noisy" and suffix == ""
    figures = {"w": "4.994", "b": "7.025", "loss": "0.0557"} if handbook else {}
    if lecture:
        lesson.show("first_loss", f"{title}: first loss", course[0], "31.277143478393555")
        figures = {"w": "1.9996366500854492", "b": "0.0008257834706455469", "prediction": "7.9994", "loss": "2.98e-07"}
    else:
        lesson.show(f"first_loss{suffix}", f"{title}: first loss", course[0])
    w, b = params["weight"].squeeze(), params["bias"].squeeze()
    ends = {"loss": course[-1], "w": w, "b": b, "prediction": 4 * w + b}
    if len(course) >= 100 and settings.optimizer != "all":
        lesson.show(f"loss_100{suffix}", f"{title}: loss in epoch 100", course[99], "0.25156" if lecture else "")
    for name, value in ends.items():
        lesson.show(f"{name}{suffix}", f"{title}: {name}", value, figures.get(name, ""))
    if len(course) > 1 and course[-2] > 0 and settings.optimizer != "all":
        lesson.show(f"factor{suffix}", f"{title}: last loss / the one before", course[-1] / course[-2])
