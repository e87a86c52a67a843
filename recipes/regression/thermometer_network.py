"""The thermometer by a linear layer, and by a network with a hidden tanh, in four notations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

import funcdl as fd
from funcdl import data, losses, nn, optim, random, train, tree

from .. import optimizer_choice, pictures, settings
from ..lesson import Lesson
from ..minimization import minimizer
from ..settings import Outcome, at_least, meant_for
from ._network_notations import compare_notations, named
from ._predicting import predict_number

EPOCHS = {"linear": 3000, "network": 5000}
RATES = {"linear": 0.01, "network": 0.001}


@dataclass(frozen=True, kw_only=True)
class Settings(settings.OptimizerSettings):
    """Fit 9 of the thermometer's 11 readings with a network, and look at the other 2 while it learns.

    A network with a hidden layer of 8 bends the line where the few points let it: its training loss falls below the 2.9
    of the best straight line, which is no merit on 11 points. With 20 hidden units and a rate of 0.0001, the exercise,
    5000 steps are too few: `--hidden 20 --lr 0.0001`. A linear layer goes with a rate of 0.01: `--model linear`.
    """

    model: Literal["network", "linear"] = "network"
    """1-hidden-1 with tanh, or one linear layer."""
    hidden: int = 8
    """Units of the hidden layer."""
    epochs: int | None = None
    """Steps, each on all readings; 5000, or 3000 for the linear layer."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""
        super().check()
        at_least(1, hidden=self.hidden)
        if self.model == "linear":
            meant_for(self, "--model network", "hidden")


def make_model(settings: Settings) -> nn.Layer:
    """The network of the settings."""
    return nn.linear(1) if settings.model == "linear" else named(settings.hidden)


def predict(settings: Settings, run_dir: Path, inputs: Sequence[str]) -> list[dict[str, Any]]:
    """Predicts degrees Celsius for readings of the thermometer, such as 35.7, or a CSV with the column 't_u'."""
    readings, _ = data.thermometer()
    model, limits = make_model(settings), (readings.min().item(), readings.max().item())
    like = model.init(random.key(0), readings[:, None])[0]
    return predict_number(run_dir, inputs, "t_u", like, lambda params, x: model(params, 0.1 * x), limits)


def run(settings: Settings, report: train.Report) -> Outcome:
    """Shows how the network can be written, then trains the model that the settings name."""
    epochs = settings.epochs or EPOCHS[settings.model]
    minimize = minimizer(settings, report, epochs)
    device = minimize.device
    init_key, split_key = random.split(random.key(settings.seed, device=device)).unbind()
    readings, celsius = (leaf.to(device)[:, None] for leaf in data.thermometer())
    lesson, x = Lesson(), 0.1 * readings
    compare_notations(lesson, init_key, x)

    order = random.permutation(split_key, len(x))
    rows, held_out = order[:-2], order[-2:]
    model = make_model(settings)

    def error(params: tree.Tree, rows: Tensor) -> Tensor:
        return losses.mse(model(params, x[rows]), celsius[rows])

    params, history = minimize(
        fd.value_and_grad(lambda params, _: error(params, rows)),
        model.init(init_key, x)[0],
        optimizer_choice.choose(settings, lambda lr: optim.sgd(lr=lr), RATES[settings.model]),
        steps=epochs,
        measure=lambda params, _: {"val_loss": error(params, held_out)},
    )
    book = settings.model == "network" and settings.hidden == 8
    lesson.show("first_loss", "training loss before the first step", history["loss"][0], "182.97" if book else "")
    lesson.show("loss", f"training loss in epoch {epochs}", history["loss"][-1], "2.1141" if book else "")
    lesson.show("val_loss", "validation loss", history["val_loss"][-1], "2.0215" if book else "")
    if settings.model == "linear":
        lesson.show("w", "w", params["weight"].squeeze(), "5.43")
        lesson.show("b", "b", params["bias"].squeeze(), "-17.96")
    lesson.remark("The book's losses are those of its own random start and split.")
    lesson.remark("Nine points cannot show that a network is better than a line: two more are little evidence.")

    line = torch.linspace(20, 90, 141, device=device)[:, None]
    points = {"training": (readings[rows], celsius[rows]), "validation": (readings[held_out], celsius[held_out])}
    lines = {settings.model: (line, model(params, 0.1 * line)), "Fahrenheit's": (line, (line - 32) / 1.8)}
    title = "The thermometer by a network: it bends where the points let it"
    if settings.model == "linear":
        title = "The thermometer by a linear layer, and the true scale"
    report.picture("fit", pictures.fitted(points, lines, title, "reading", "temperature (°C)"))
    curves = {"training": history["loss"].tolist(), "validation": history["val_loss"].tolist()}
    report.picture("losses", pictures.loss_curves(curves, "Losses on the 9 training and the 2 validation readings"))
    return minimize.outcome(lesson, epochs)
