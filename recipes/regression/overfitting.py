"""Overfitting on purpose, in the curves of the loss, and four remedies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

import funcdl as fd
from funcdl import losses, nn, optim, random, train, tree

from .. import pictures, settings
from ..lesson import Lesson
from ..minimization import minimizer
from ..settings import Outcome, SettingsError, at_least, chosen, meant_for
from ._diagnosis import show_losses, training_and_test

REMEDIES = {
    "plain": "nothing",
    "dropout": "dropout of 0.5 before each ReLU",
    "l1": "loss + l1 * sum |w|",
    "l2": "loss + l2 * sum w²",
    "noise": "noise on the inputs",
}


@dataclass(frozen=True, kw_only=True)
class Settings(settings.TrainingSettings):
    """Fit 20 noisy points about `y = x` with a network 1-300-300-1, which has 90,000 weights too many.

    The network learns the noise: its training loss goes on falling while the loss on 20 other points turns and rises.
    That is the sign of overfitting; a mere gap between the two is normal. When the training loss does not fall either,
    the model is too small or the data says nothing. The remedies are dropout, a penalty on the size of the weights,
    noise on the inputs, stopping at the turn, and a smaller network.
    """

    epochs: int = 500
    """Steps of Adam, each on all 20 points."""
    l1: float = 0.002
    """Weight of the sum of absolute values."""
    l2: float = 0.004
    """Weight of the sum of squares."""
    noise: float = 0.3
    """Standard deviation of the noise on the inputs, drawn anew for each step."""
    only: str = ""
    """Which remedies to try, such as plain,dropout; all of them by default."""
    hidden: int = 300
    """Units of each hidden layer."""
    lr: float = 0.01
    """Learning rate."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""
        super().check()
        for name in ("l1", "l2", "noise"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise SettingsError(f"--{name} {getattr(self, name)}: must be 0 or a positive number")
        at_least(1, hidden=self.hidden)
        for name in {"l1", "l2", "noise"} - set(chosen("--only", self.only, REMEDIES)):
            meant_for(self, f"--only {name}", name)


def network(hidden: int, p: float) -> nn.Layer:
    """The lesson's network; dropout with p = 0 does nothing."""
    one, two = (nn.serial(nn.linear(hidden), nn.dropout(p), nn.relu()) for _ in range(2))
    return nn.serial(one, two, nn.linear(1))


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains the same network with each remedy, and finds where it begins to overfit."""
    epochs = settings.epochs
    minimize = minimizer(settings, report, epochs * len(REMEDIES))
    device = minimize.device
    init_key, train_key, test_key, step_key = random.split(random.key(settings.seed, device=device), 4).unbind()
    x = torch.linspace(-1, 1, 20, device=device)[:, None]
    y, test_y = (x + 0.3 * random.normal(key, x.shape) for key in (train_key, test_key))
    step_keys = random.split(step_key, epochs)
    start = network(settings.hidden, 0.0).init(init_key, x)[0]

    lesson, fits = Lesson(), {}
    histories: dict[str, dict[str, Tensor]] = {}
    line = torch.linspace(-1, 1, 201, device=device)[:, None]
    trained = chosen("--only", settings.only, REMEDIES)
    for remedy in trained:
        model = network(settings.hidden, 0.5 if remedy == "dropout" else 0.0)

        def objective(params: tree.Tree, key: Tensor, remedy: str = remedy, model: nn.Layer = model) -> Tensor:
            inputs = x + settings.noise * random.normal(key, x.shape) if remedy == "noise" else x
            loss = losses.mse(model(params, inputs, key=key, train=True), y)  # no remedy draws twice
            if remedy == "l1":
                return loss + settings.l1 * sum(leaf.abs().sum() for leaf in tree.leaves(params))
            if remedy == "l2":
                return loss + settings.l2 * sum(leaf.square().sum() for leaf in tree.leaves(params))
            return loss

        def measure(params: tree.Tree, _: Tensor, model: nn.Layer = model) -> dict[str, Tensor]:
            y_now = model(params, x)  # as it is used: without dropout, noise and penalty
            return {"training": losses.mse(y_now, y), "test_loss": losses.mse(y_now, test_y)}

        params, histories[remedy] = minimize(
            fd.value_and_grad(objective),
            start,
            optim.adam(lr=settings.lr),
            step_keys,
            measure=measure,
            rows=remedy == trained[0],
        )
        fits[remedy] = (line, model(params, line))
        show_losses(lesson, remedy, REMEDIES[remedy], histories[remedy])
    lesson.remark("A gap between training and test loss is normal; overfitting is a test loss that turns and rises.")
    lesson.remark("Weights and biases are parameters; the rate, the penalties' weights and the noise hyper-parameters.")

    report.picture("curves", training_and_test(histories))
    points = {"training": (x, y), "test": (x, test_y)}
    report.picture("fit", pictures.fitted(points, fits, "20 points about y = x, and curves fitted to them"))
    return minimize.outcome(lesson, epochs)
