"""The training driver: a recipe describes what it trains in a `Task`, and `fit` trains it, the same way for all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from funcdl import losses, metrics, nn, optim, random, train, tree
from funcdl.data import length, stacked_batches, take
from funcdl.metrics import Metric
from funcdl.train import TrainState
from funcdl.train.best import make_criterion
from funcdl.train.report import Row, format_number
from funcdl.train.step import Evaluate
from funcdl.tree import Tree

from . import pictures, runtime
from .lesson import Lesson
from .settings import OptimizerSettings, Outcome, TrainingSettings

WORDS = {"loss": "mean loss over the {} samples", "accuracy": "share of the {} samples predicted right"}
Part = tuple[Any, Tensor]  # inputs and targets, a row per sample


@dataclass(frozen=True)
class Task:
    """What a recipe trains, and how it is measured.

    Attributes:
        model: the network.
        optimizer: makes the updates.
        epochs: passes through the training data.
        batch_size: rows per step.
        loss: of the outputs and the targets.
        metrics: what to measure besides the loss, by name.
        prepare: what to do to the inputs of a batch before the network, within the compiled step.
        collate: what to do to a batch before the step, outside of its graph.
        order: the row numbers of an epoch's batches, drawn from a key; shuffled by default.
        precision: of the network's arithmetic.
        prefix: of the names of what is measured on the data held out: "test" or "val".
        evaluation_batch: rows of the data held out to compute at once.
        stack: makes batches of the data held out; by default of `evaluation_batch` rows.
        evaluate: measures these batches; by default the loss and the metrics.
        best: the measurement that decides which epoch's state is returned; the last state is by default.
        every: epochs from one row to the next.
        title: of the picture "curves", which is drawn only with a title.
        info: more that has to be the same where a run is resumed, in JSON's terms.
    """

    model: nn.Layer
    optimizer: optim.Transformation
    epochs: int
    batch_size: int
    loss: Callable[..., Tensor] = losses.cross_entropy
    metrics: Mapping[str, Metric] = field(default_factory=lambda: {"accuracy": metrics.accuracy})
    prepare: Callable[[Any], Any] | None = None
    collate: Callable[[Tree], Tree] | None = None
    order: Callable[[Tensor], Sequence[Tensor]] | None = None
    precision: train.Precision = "fp32"
    prefix: str = "test"
    evaluation_batch: int = 1000
    stack: Callable[[Part], Tree] | None = None
    evaluate: Evaluate | None = None
    best: str | None = None
    every: int = 1
    title: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """The result of a training.

    Attributes:
        task: what was trained.
        state: the last one, or the best.
        row: what was measured at that state.
        data: the training data, on the device.
        held_out: the data held out, on the device.
        compiled: whether the step was.
    """

    task: Task
    state: TrainState
    row: Row
    data: Part
    held_out: Part
    compiled: bool

    @property
    def measurements(self) -> dict[str, Any]:
        """The numbers of the row, without its epoch and its seconds."""
        return {name: value for name, value in self.row.items() if name not in ("epoch", "seconds")}

    def predict(self, inputs: Tree) -> Tensor:
        """The outputs of the network for inputs on its device."""
        return predict(self.task, self.state, inputs)

    def outcome(self, metrics: Mapping[str, Any], lesson: Lesson | None = None) -> Outcome:
        """The outcome of the recipe, with these metrics; its lesson begins with what was measured, in words."""
        device, shown = self.state.step.device.type, Lesson()
        for name in (name for name in metrics if name in self.measurements and name not in (lesson or shown).metrics):
            shown.show(name, self.in_words(name), metrics[name])
        if lesson:
            shown.lines += lesson.lines
            shown.remarks += lesson.remarks
            shown.metrics |= lesson.metrics
        return Outcome(dict(metrics), self.task.epochs, device, self.compiled, shown)

    def in_words(self, name: str) -> str:
        """What a measurement is: when it was taken, and of which samples."""
        part = self.task.prefix if name.startswith(f"{self.task.prefix}_") else ""
        what = name.removeprefix(f"{part}_") if part else name
        samples = {"test": "test", "val": "validation", "": "training"}.get(part, part)
        when = f"{'after' if part else 'during'} epoch {self.row['epoch']:g}"
        best = f", the one with the best {self.task.best}" if self.task.best else ""
        words = WORDS.get(what, f"{what.replace('_', ' ')} of the {{}} samples")
        return f"{words.format(samples)}, {when}{best}"


def fit(
    settings: TrainingSettings,
    report: train.Report,
    task: Task,
    data: Part,
    held_out: Part | None = None,
    *,
    keys: tuple[Tensor, Tensor] | None = None,
    state: TrainState | None = None,
    compiled: bool | None = None,
    on_step: Callable[[TrainState, dict[str, Tensor]], None] | None = None,
) -> Trained:
    """Trains, measures the data held out after each epoch, and saves checkpoints; goes on with a run that is resumed.

    Args:
        settings: of the recipe: the device, the seed, whether to compile and to resume.
        report: gets the rows, the checkpoints, and the picture "curves".
        task: what to train.
        data: the training data, on any device.
        held_out: the data to measure.
        keys: of the parameters and of the order of the rows; by default from the seed.
        state: the state to begin with; by default random parameters. A compiled step writes over it.
        compiled: whether to compile, where that is decided; by default the settings and the number of steps decide.
        on_step: called after each step with the state and what the step has measured.

    Raises:
        SettingsError: the batch is larger than the data, or the device is missing.
    """
    device = runtime.choose_device(settings.device)
    data, held_out = (tree.map(lambda leaf: leaf.to(device), part) for part in (data, held_out or ()))
    if compiled is None:
        compiled = choose_compile(settings, report, task, data)
    if keys is None:
        state_key, order_key = random.split(random.key(settings.seed, device=device)).unbind()
    else:
        state_key, order_key = keys[0].to(device), keys[1]
    if state is None:
        state = make_state(task, state_key, data[0])
    computed: dict[str, Any] = {"prepare": task.prepare, "precision": task.precision}
    evaluate = task.evaluate
    if evaluate is None and held_out:
        measured = {"loss": metrics.mean_loss(task.loss), **task.metrics}
        renamed = {f"{task.prefix}_{name}": metric for name, metric in measured.items()}
        evaluate = train.make_evaluate(task.model, renamed, **computed)  # its few calls do not repay compiling
    state = train.fit(
        state,
        train.make_step(task.model, task.loss, task.optimizer, metrics=task.metrics, **computed),
        data,
        train.Batches(order_key, task.batch_size, order=task.order, collate=task.collate),
        epochs=task.epochs,
        evaluate=evaluate,
        evaluation_data=_stack(task, held_out) if held_out else (),
        on_step=_log_batches(settings, report, task, len(data[1]), on_step),
        compile=compiled,
        record=train.Record(
            report,
            settings.resume,
            runtime.environment(device, compiled, precision=task.precision, **recorded(settings), **task.info),
            best=task.best,
            every=task.every,
        ),
    )
    row = _row_of(task, report.rows)
    if task.title:
        best = row["epoch"] if task.best else None
        report.picture("curves", pictures.curves(report.rows, task.title, task.prefix, best))
    return Trained(task, state, row, data, held_out, compiled)


def recorded(settings: TrainingSettings) -> dict[str, Any]:
    """The settings that a checkpoint has too: with others its run cannot be resumed, whoever has changed them."""
    if not isinstance(settings, OptimizerSettings):
        return {"lr": settings.lr}
    return {"lr": settings.lr, "optimizer": settings.optimizer, "optimizer_options": settings.optimizer_options}


def choose_compile(settings: TrainingSettings, report: train.Report, task: Task, data: Part) -> bool:
    """Returns whether to compile the step, by the settings and by the number of steps, and logs why."""
    device = runtime.choose_device(settings.device)
    steps = runtime.count_steps(task.batch_size, task.epochs, len(data[1]))
    return runtime.choose_compile(settings.compile, device, steps, report)


def make_state(task: Task, key: Tensor, inputs: Tree) -> TrainState:
    """Returns the state before the first step, for inputs as in the data."""
    return train.make_state(task.model, task.optimizer, key, prepared(task, take(inputs, torch.tensor([0]))))


def predict(task: Task, state: TrainState, inputs: Tree) -> Tensor:
    """Returns the outputs of the network in use, computed by batches."""
    batches = torch.arange(length(inputs)).split(task.evaluation_batch)
    return torch.cat(
        [task.model.apply(state.params, state.buffers, prepared(task, take(inputs, rows)))[0] for rows in batches]
    )


def load(task: Task, folder: Path, inputs: Tree) -> TrainState:
    """Loads the state of a run from its checkpoint, to predict for such inputs.

    Raises:
        CheckpointError: there is none, it is of another model, or its parameters are not numbers.
    """
    return runtime.load(folder, make_state(task, random.key(0), inputs))


def prepared(task: Task, inputs: Tree) -> Tree:
    """Returns inputs as the network gets them."""
    return task.prepare(inputs) if task.prepare else inputs


OnStep = Callable[[TrainState, dict[str, Tensor]], None]


def _log_batches(
    settings: TrainingSettings, report: train.Report, task: Task, rows: int, on_step: OnStep | None
) -> OnStep | None:
    """What to call after each step: `on_step`, and a line after every so many batches, if the settings ask for it."""
    every = getattr(settings, "log_every", None)
    if every is None:
        return on_step
    steps = runtime.count_steps(task.batch_size, 1, rows)

    def log(state: TrainState, measured: dict[str, Tensor]) -> None:
        if on_step:
            on_step(state, measured)
        epoch, batch = divmod(int(state.step) - 1, steps)
        if (batch + 1) % every == 0:
            seen = (batch + 1) * task.batch_size
            report.log(
                f"epoch {epoch + 1}, batch {batch + 1} of {steps} ({seen} of {rows} samples, {seen / rows:.0%}): "
                f"training loss {format_number(measured['loss'].item())}"
            )

    return log


def _stack(task: Task, held_out: Part) -> Tree:
    if task.stack:
        return task.stack(held_out)
    return stacked_batches(held_out, min(task.evaluation_batch, len(held_out[1])))


def _row_of(task: Task, rows: Sequence[Row]) -> Row:
    """The row of the state that is returned."""
    if task.best is None:
        return rows[-1]
    name, direction = make_criterion(task.best)
    numbers = [row for row in rows if not math.isnan(row[name])] or rows[-1:]
    return (min if direction == "min" else max)(numbers, key=lambda row: row[name])
