"""A race of optimizers, on a curve through noisy points and on a surface in two dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

import funcdl as fd
from funcdl import losses, nn, random, train, tree

from .. import pictures, runtime, settings
from ..lesson import Lesson
from ..minimization import minimizer
from ..settings import Outcome, SettingsError, at_least, chosen
from . import _surface
from ._race import UPDATE_RULES, ensemble, parse_rates, shuffled_batches

FIGURES = {"gd": "", "sgd": "0.03 to 0.09", "momentum": "about 0.012", "adagrad": "", "adadelta": ""}
FIGURES |= {"rmsprop": "about 0.01", "adam": "about 0.01"}


@dataclass(frozen=True, kw_only=True)
class Settings(settings.SeedSettings, settings.DeviceSettings):
    """Train a network 1-20-1 by seven optimizers, with the same initial parameters and batches, and compare.

    The members that share an update rule are one program under `vmap`: all rates of the sweep, and plain SGD with
    momentum, as it is momentum's rule with the momentum 0. `--lr 0.001,0.01,0.1` sweeps.

    The thousand points are `y = x^2` with noise of variance 0.01, so that 0.01 is the best a loss can be. The lesson's
    four nets start at different parameters, of which some are luckier; here all of them start at the same.
    """

    epochs: int = 12
    """Passes through the points; gradient descent makes as many steps as the others, each on all points."""
    lr: str = ""
    """One learning rate for all, or several with commas; by default 0.01, and 1 for Adadelta."""
    batch_size: int = 32
    """Samples per step, but for gradient descent."""
    only: str = ""
    """Which to race, such as sgd,adam; all of them by default."""
    compile: settings.Compile = "auto"
    """Whether to compile the training step; auto does when the run is long enough to repay it."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""
        super().check()
        at_least(1, epochs=self.epochs, batch_size=self.batch_size)
        parse_rates(self.lr)
        chosen("--only", self.only, FIGURES)
        if self.batch_size > 1000:
            raise SettingsError(f"--batch-size {self.batch_size}: must be at most 1000, the samples to train on")


def run(settings: Settings, report: train.Report) -> Outcome:
    """Races, then compares the paths on the surface with those of torch's optimizers."""
    device, epochs = runtime.choose_device(settings.device), settings.epochs
    init_key, noise_key, order_key, path_key = random.split(random.key(settings.seed, device=device), 4).unbind()
    x = torch.linspace(-1, 1, 1000, device=device)[:, None]
    y = x**2 + random.normal(noise_key, x.shape, std=0.1)
    batches = shuffled_batches(order_key, (x, y), epochs, settings.batch_size)
    steps = len(batches[0])
    model = nn.serial(nn.linear(20), nn.relu(), nn.linear(1))
    start = model.init(init_key, x)[0]
    minimize = minimizer(settings, report, steps * len(UPDATE_RULES))

    def loss(params: tree.Tree, batch: tree.Tree) -> Tensor:
        inputs, targets, weights = batch
        return (weights * losses.mse(model(params, inputs), targets, reduction="none")).sum() / weights.sum()

    def loss_on_all(params: tree.Tree, _: tree.Tree) -> Tensor:
        return losses.mse(model(params, x), y)

    lesson = Lesson()
    histories: dict[tuple[str, float], list[float]] = {}
    lesson.show(
        "steps", "steps of each optimizer", steps, "384" if (settings.epochs, settings.batch_size) == (12, 32) else ""
    )
    for sharing, optimizer in UPDATE_RULES:
        names = [name for name in sharing if name in chosen("--only", settings.only, FIGURES)]
        if not names:
            continue
        sweep = parse_rates(settings.lr) or [1.0 if sharing == ("adadelta",) else 0.01]
        members = [(name, rate) for name in names for rate in sweep]
        full = sharing == ("gd",)
        _, history = minimize(
            fd.vmap(fd.value_and_grad(loss_on_all if full else loss), in_dims=(0, None)),
            tree.map(lambda leaf: leaf.expand(len(members), *leaf.shape).clone(), start),  # noqa: B023 (called at once)
            ensemble(optimizer, members),
            () if full else batches,
            steps=steps,
            measure=lambda params, _: {"all": fd.vmap(loss_on_all, in_dims=(0, None))(params, ())},
            rows=False,
        )
        for index, (name, rate) in enumerate(members):
            histories[name, rate] = history["all"][:, index].tolist()
        for name in names:
            ends = [histories[name, rate][-1] for rate in sweep]
            title = f"{name}, rate {' '.join(f'{rate:g}' for rate in sweep)}: loss on all points"
            lesson.show(f"loss_{name}", title, ends if len(ends) > 1 else ends[0], "" if settings.lr else FIGURES[name])
    curves = {f"{name} {rate:g}": history for (name, rate), history in histories.items()}
    report.restore_rows(0)
    for epoch in range(1, epochs + 1):
        step = epoch * steps // epochs - 1
        report.row({"epoch": epoch, **{name: history[step] for name, history in curves.items()}})
    paths, differences = _surface.descend(path_key)
    for name, difference in differences.items():
        lesson.show(
            f"difference_{name}", f"{name}: largest distance between its path and that of torch.optim", difference, "0"
        )
    lesson.show(
        "manual_step",
        "the step w - lr * grad(f)(w), by hand, is the one of optim.sgd",
        _surface.by_hand_is_sgd(),
        "True",
    )
    lesson.remark("The velocity of momentum, v = m v + g, is a sum and no average: torch does not multiply g by 1 - m.")
    lesson.remark("RMSprop is Adagrad with a running average of the squares in place of their sum; Adam adds momentum.")
    lesson.remark("Some notes put eps inside the root in Adagrad and RMSprop (1e-6); torch adds it to the root.")
    lesson.remark(
        "Adadelta averages the squares of all past steps, not of the last one only; and a rate may be above 1."
    )
    report.picture(
        "losses",
        pictures.loss_curves(curves, "The race: which optimizer reaches the noise, 0.01, in the fewest steps", "step"),
    )
    report.picture("paths", _surface.picture(paths))
    return minimize.outcome(lesson, epochs)
