"""Overfitting on purpose, in the curves of the loss, and four remedies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from funcdl import optim, random, train, tree

from .. import members, optimizer_choice, pictures, settings
from ..lesson import Lesson
from ..minimization import minimizer
from ..settings import Outcome, SettingsError, at_least, chosen, meant_for
from . import _sizes
from ._diagnosis import compare, show_losses, training_and_test
from ._remedies import REMEDIES, draw, network, train_with

SWEEPS = {"size": _sizes.sweep_sizes, "data": _sizes.sweep_data}
PARTS = [*REMEDIES, *SWEEPS]


@dataclass(frozen=True, kw_only=True)
class Settings(settings.OptimizerSettings):
    """Fit 20 noisy points about `y = x` with a network 1-50-50-1, which has 2,600 weights too many.

    The network learns the noise: its training loss goes on falling while the loss on other points turns and rises. That
    is the sign of overfitting; a mere gap between the two is normal. When the training loss does not fall either, the
    model is too small or the data tells nothing. The remedies are dropout, a penalty on the size of the weights, noise
    on the inputs, stopping at the turn, a smaller network, and more data.

    Chance decides how a single network ends, so several are trained at once, each with a start and points of its own,
    and the lines are their means. The lesson has one network of 300 units: `--hidden 300 --seeds 1`. The sizes and the
    numbers of points are swept on a curve, as a line needs no network.
    """

    epochs: int = 400
    """Steps, each on all points."""
    seeds: int = 10
    """Networks to train at once, each with a start and points of its own."""
    l1: float = 0.002
    """Weight of the sum of absolute values."""
    l2: float = 0.004
    """Weight of the sum of squares."""
    noise: float = 0.3
    """Standard deviation of the noise on the inputs, drawn anew for each step."""
    only: str = ""
    """Which remedies and sweeps to try, of plain, dropout, l1, l2, noise, size and data; all of them by default."""
    hidden: int = 50
    """Units of each hidden layer, where they are not swept."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""
        super().check()
        for name in ("l1", "l2", "noise"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise SettingsError(f"--{name} {getattr(self, name)}: must be 0 or a positive number")
        at_least(1, hidden=self.hidden, seeds=self.seeds)
        for name in {"l1", "l2", "noise"} - set(chosen("--only", self.only, PARTS)):
            meant_for(self, f"--only {name}", name)


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains the same networks with each remedy and finds where they begin to overfit; then sweeps sizes and data."""
    epochs, seeds, lesson = settings.epochs, settings.seeds, Lesson()
    minimize = minimizer(settings, report, epochs * len(PARTS))
    optimizer = optimizer_choice.choose(settings, lambda lr: optim.adam(lr=lr), 0.01)
    parts = chosen("--only", settings.only, PARTS)
    init_key, data_key, step_key, sweep_key = random.split(
        random.key(settings.seed, device=minimize.device), 4
    ).unbind()
    points = draw(data_key, seeds)
    start = members.initialize(network(settings.hidden), init_key, seeds, points.x)
    weights = {"l1": settings.l1, "l2": settings.l2, "noise": settings.noise}
    line, fits = torch.linspace(-1, 1, 201, device=minimize.device)[:, None], {}
    histories: dict[str, dict[str, Tensor]] = {}
    for remedy in [part for part in parts if part in REMEDIES]:
        params, histories[remedy] = train_with(
            remedy,
            minimize,
            points,
            start,
            random.split(step_key, epochs),
            optimizer,
            hidden=settings.hidden,
            weights=weights,
            rows=not histories,
        )
        first = tree.map(lambda leaf: leaf[0], params)
        fits[remedy] = (line, network(settings.hidden)(first, line))
        show_losses(lesson, remedy, REMEDIES[remedy], histories[remedy])
    compare(lesson, histories)
    for part in [part for part in parts if part in SWEEPS]:
        sweep = _sizes.Sweep(minimize, sweep_key, optimizer, epochs, seeds)
        report.picture(part, SWEEPS[part](lesson, sweep))
    lesson.remark("A gap between training and test loss is normal; overfitting is a test loss that turns and rises.")
    lesson.remark(
        "Weights and biases are parameters, which are trained; the learning rate, the weights of the penalties and the "
        "deviation of the noise are hyperparameters, which are chosen."
    )
    if histories:
        report.picture("curves", training_and_test(histories))
        measured = {"training": (points.x, points.y[0]), "test": (points.test_x[::5], points.test_y[0, ::5])}
        title = "The first network with each remedy: the plain one follows every point"
        report.picture("fit", pictures.fitted(measured, fits, title))
    return minimize.outcome(lesson, epochs)
