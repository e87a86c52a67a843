"""A parabola through noisy points by a small network, whose parameters are saved and restored."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import funcdl as fd
from funcdl import interop, losses, nn, optim, random, train, tree

from .. import optimizer_choice, pictures, settings
from ..lesson import Lesson
from ..minimization import minimizer
from ..settings import Outcome, at_least
from ._predicting import predict_number
from ._saving import saved_and_restored

RATE = 0.2
MARKS = (1, 5, 20, 50, 100)  # the steps before which the curve is drawn


@dataclass(frozen=True, kw_only=True)
class Settings(settings.OptimizerSettings):
    """Fit `y = x^2 + noise` by a network 1-10-1 with ReLU, then save and restore it, twice.

    The noise is uniform in [0, 0.2), so that no curve gets below its variance, 0.0033. The lesson on saving uses a rate
    of 0.5 for 100 steps: `--lr 0.5 --epochs 100`.

    The parameters are a tree of tensors. They can be saved alone, as safetensors or by `torch.save`, and loaded into a
    network that the reader's code builds; or with the name and the settings of the network, which is then built from
    these. Neither runs code out of a file. The lesson pickles the whole object, and loading that would: a pickle
    may call any function, so torch.load has refused such files since version 2.6.
    """

    epochs: int = 200
    """Steps, each on all points."""
    hidden: int = 10
    """Units of the hidden layer."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""
        super().check()
        at_least(1, hidden=self.hidden)


def sequential(hidden: int) -> nn.Layer:
    """The network, its layers numbered."""
    return nn.serial(nn.linear(hidden), nn.relu(), nn.linear(1))


def named(hidden: int) -> nn.Layer:
    """The network, its layers named as in the lesson's class."""
    return nn.serial(hidden=nn.linear(hidden), activation=nn.relu(), predict=nn.linear(1))


NETWORKS = {"sequential": sequential, "named": named}


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains, compares with the network of named layers, saves and restores, and draws the three curves."""
    epochs = settings.epochs
    minimize = minimizer(settings, report, epochs)
    init_key, noise_key = random.split(random.key(settings.seed, device=minimize.device)).unbind()
    x = torch.linspace(-1, 1, 100, device=minimize.device)[:, None]
    y = x**2 + 0.2 * random.uniform(noise_key, x.shape)
    model = sequential(settings.hidden)
    params, history = minimize(
        fd.value_and_grad(lambda params, _: losses.mse(model(params, x), y)),
        model.init(init_key, x)[0],
        optimizer_choice.choose(settings, lambda lr: optim.sgd(lr=lr), RATE),
        steps=epochs,
        measure=lambda params, _: {"fit": model(params, x)[:, 0]},
    )

    lesson, first = Lesson(), model(params, x)
    lesson.show_code("parameters", tree.size(params), "31" if settings.hidden == 10 else "")
    if epochs >= 90:
        lesson.show("loss_90", "loss in epoch 90", history["loss"][89], "about 0.0115 (one seed)")
    lesson.show("loss", f"loss in epoch {epochs}", history["loss"][-1])
    lesson.show("floor", "variance of the noise: 0.2^2 / 12", 0.2**2 / 12, "0.0033")
    compare_names(lesson, settings.hidden, params, x, first)
    with tempfile.TemporaryDirectory() as scratch:
        folder = report.directory or Path(scratch)
        function = {"network": "sequential", "settings": {"hidden": settings.hidden}}
        curves = saved_and_restored(lesson, folder, NETWORKS, function, params, x)
    identical = all(torch.equal(curve, first) for curve in curves.values())
    lesson.show("identical", "all curves are the first one, bit for bit", identical, "True")

    lines = {"trained": (x, first), **{name: (x, curve) for name, curve in curves.items()}}
    title = "One curve, trained, saved and restored: all lines coincide"
    report.picture("fit", pictures.fitted({"points": (x, y)}, lines, title))
    title = f"Fitting the curve, rate {optimizer_choice.rate(settings, RATE):g}"
    report.picture("losses", pictures.loss_curves({"training": history["loss"].tolist()}, title))
    draw_progress(lesson, report, (x, y), history)
    return minimize.outcome(lesson, epochs)


def draw_progress(lesson: Lesson, report: train.Report, points: tuple[Tensor, Tensor], history: tree.Tree) -> None:
    """The curve before some of the steps: how the line bends into the parabola."""
    steps = [step for step in MARKS if step < len(history["fit"])] + [len(history["fit"])]
    lesson.show("progress_steps", "steps before which the curve is drawn", steps)
    losses = [history["loss"][step - 1].item() for step in steps]
    lesson.show("progress_losses", "loss of the curve before each of these steps", losses, "", 3)
    curves = {f"before step {step}": (points[0], history["fit"][step - 1]) for step in steps}
    title = "The curve while it is fitted, from its random start to the parabola"
    report.picture("progress", pictures.fitted({"points": points}, curves, title))


def predict(settings: Settings, run_dir: Path, inputs: Sequence[str]) -> list[dict[str, Any]]:
    """Predicts y for values of x from -1 to 1, such as 0.5, or a CSV with the column 'x'."""
    model = sequential(settings.hidden)
    like = model.init(random.key(0), torch.empty(1, 1))[0]
    return predict_number(run_dir, inputs, "x", like, model, (-1.0, 1.0))


def compare_names(lesson: Lesson, hidden: int, params: tree.Tree, x: Tensor, first: Tensor) -> None:
    """The lesson's class and its sequence: the names differ, and with the weights copied they are the same function."""
    copied = {"hidden": params["0"], "activation": {}, "predict": params["2"]}
    lesson.show("names", "names in the sequence", list(interop.to_state_dict(params)), "0 and 2")
    lesson.show("other_names", "names in the class", list(interop.to_state_dict(copied)), "hidden and predict")
    same = torch.equal(named(hidden)(copied, x), first)
    lesson.show("same_function", "both are the same function when the weights are copied", same, "True")
