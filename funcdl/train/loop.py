"""The loop over epochs: batches, steps, evaluation, checkpoints, interruption and exact resumption."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from funcdl import random, tree
from funcdl.data import epoch_indices, length, steps_per_epoch, take
from funcdl.train import files
from funcdl.train.best import Direction, make_criterion
from funcdl.train.files import CheckpointError
from funcdl.train.progress import Progress
from funcdl.train.report import Report, format_number
from funcdl.train.state import TrainState
from funcdl.train.step import Evaluate, Step
from funcdl.transforms import jit
from funcdl.tree import Tree

SAVE_SECONDS = 60.0  # between checkpoints inside an epoch
BEST = "best"  # the folder of the best state
CHECK_STEPS = 50  # between checks that the loss is finite, each of which waits for the device


class Interrupted(KeyboardInterrupt):
    """Ctrl-C was pressed; the run was saved first."""


class NonFiniteLossError(ArithmeticError):
    """The loss or a parameter is no longer finite; the last checkpoint holds a finite state."""


@dataclass(frozen=True)
class Batches:
    """How the rows of a data set are grouped into batches.

    Attributes:
        key: the order of the rows in epoch e is drawn from `fold_in(key, e)`.
        batch_size: rows per step.
        drop_last: whether to drop a last batch that is smaller; keeping it makes a compiled step compile a second
            graph.
        order: `(key) -> row indices of each batch` for one epoch. The default shuffles all rows; an example of another
            is `data.bucketed_epoch_indices`. It has to return as many batches as the default.
        collate: a function applied to each batch before the step and outside of its graph, such as one that cuts
            padding.
    """

    key: Tensor
    batch_size: int
    drop_last: bool = True
    order: Callable[[Tensor], Sequence[Tensor]] | None = None
    collate: Callable[[Tree], Tree] | None = None


@dataclass(frozen=True)
class Record:
    """What a run records, and whether it resumes an earlier run.

    Attributes:
        report: receives rows, progress and checkpoints. A checkpoint is saved at the start, after each row, every
            minute, and when Ctrl-C is pressed.
        resume: whether to resume from the report's checkpoint.
        info: whatever else the bits of the results depend on (precision, number of threads, ...), as values that JSON
            can represent. It is saved in each checkpoint. A run can be resumed only with equal info, and with the same
            batches and data.
        best: the measurement that decides which state is the best: a pair of its name and "max" or "min", such as
            `("val_cost", "min")`, or just a name that ends in a well-known metric, such as "val_loss", "val_mae" or
            "val_accuracy". The state of the best row (the first if several are equal) is saved in the folder "best" and
            returned instead of the last state. NaN is never the best.
        every: record a row every so many epochs, for epochs that take only a moment. The last epoch always has a row,
            and each row measures its own epoch only.
    """

    report: Report | None = None
    resume: bool = False
    info: Mapping[str, Any] | None = None
    best: str | tuple[str, Direction] | None = None
    every: int = 1


def fit(
    state: TrainState,
    step: Step,
    data: tuple[Tree, Tree],
    batches: Batches,
    *,
    epochs: int,
    evaluate: Evaluate | None = None,
    evaluation_data: Tree = (),
    on_step: Callable[[TrainState, dict[str, Tensor]], None] | None = None,
    compile: bool = False,
    record: Record | None = None,
) -> TrainState:
    """Trains for a number of epochs and returns the last state, or the best.

    Outside of the steps, the only random choice is the order of the rows, which depends only on the key of the batches.
    A run that is interrupted anywhere and resumed therefore ends with the same bits as an uninterrupted one.

    Args:
        state: the initial state. If the step donates it, as it does with `compile`, its memory is overwritten.
        step: the training step, from `make_step`.
        data: `(inputs, targets)` with a row per sample, on the device of the state.
        batches: how the rows are ordered and batched.
        epochs: how many times to go through the data, 1 or more.
        evaluate: `(params, buffers, evaluation_data) -> measured`, from `make_evaluate`; called for each row.
        evaluation_data: the batches to evaluate on.
        on_step: called after each step with the new state and the step's measurements.
        compile: whether to compile the step and donate the state to it.
        record: what to record; by default nothing.

    Raises:
        Interrupted: Ctrl-C was pressed; the state is saved. (After a second Ctrl-C the step is not completed.)
        NonFiniteLossError: the loss or a parameter is NaN or infinite; both are checked before each checkpoint.
        ValueError: `epochs`, `every` or `batch_size` is out of range, `best` does not say whether lower or higher is
            better, or the measurement that it names is missing.
        CheckpointError: the checkpoint to resume is missing or damaged, or belongs to a run with other settings or
            `info`.
        WriteError: a file of the run cannot be written; what was saved before is kept and can be resumed.

    >>> from funcdl import losses, nn, optim, train
    >>> x = torch.linspace(-1, 1, 64).unsqueeze(1)
    >>> model, optimizer = nn.linear(1), optim.sgd(lr=0.1)
    >>> state = train.make_state(model, optimizer, random.key(0), x)
    >>> step = train.make_step(model, losses.mse, optimizer)
    >>> batches, report = train.Batches(random.key(1), batch_size=8), train.Report()
    >>> state = fit(state, step, (x, 3 * x + 1), batches, epochs=20, record=train.Record(report))
    >>> state.step, report.rows[-1]["loss"] < 1e-3
    (tensor(160), True)
    """
    record = record or Record()
    for name, number in (("epochs", epochs), ("every", record.every)):
        if number < 1:
            raise ValueError(f"{name}={number}: must be 1 or more")
    criterion = None if record.best is None else make_criterion(record.best)
    report, every = record.report or Report(), record.every
    rows, batch_size, drop_last = length(data), batches.batch_size, batches.drop_last
    steps = steps_per_epoch(rows, batch_size, drop_last=drop_last)
    order = batches.order or partial(epoch_indices, n=rows, batch_size=batch_size, drop_last=drop_last)
    collate = batches.collate or (lambda batch: batch)
    step = jit(step, donate_argnums=0) if compile else step
    batch_info = {"rows": rows, "batch_size": batch_size, "drop_last": drop_last, "key": batches.key.tolist()}
    run = json.loads(json.dumps({**(record.info or {}), **batch_info}))  # as a checkpoint returns it: no tuples
    best_state = None
    if record.resume:
        state, progress = _resume(report, state, steps, epochs, run)
        if criterion and any(map(criterion.is_number, report.rows)):
            best_state = report.load(state, BEST)[0]
    else:
        progress = Progress(epoch=1, step=0)
        _save(report, state, progress, run)
        report.restore_rows(0)

    with _deferred_interrupt() as interrupt:
        while progress.epoch <= epochs:
            indices = order(random.fold_in(batches.key, progress.epoch))
            with report.bar(f"epoch {progress.epoch}/{epochs}", steps, progress.step) as bar:
                for batch_rows in indices[progress.step :]:
                    state, measured = step(state, collate(take(data, batch_rows)))
                    progress.add(measured, len(batch_rows))
                    if on_step:
                        on_step(state, measured)
                    bar.update(1)
                    if progress.step % CHECK_STEPS == 0:
                        _check_finite(report, state, progress)
                        bar.set_postfix_str(f"loss {format_number(measured['loss'].item())}")
                        report.scalar("step_loss", measured["loss"].item(), int(state.step))
                    if interrupt.is_set() or time.monotonic() - progress.saved > SAVE_SECONDS:
                        _save(report, state, progress, run)
                    if interrupt.is_set():
                        raise Interrupted(_interrupt_message(report, state))
            _check_finite(report, state, progress)
            done = progress
            progress = Progress(epoch=done.epoch + 1, step=0)
            if done.epoch % every == 0 or done.epoch == epochs:
                means = done.means()
                if evaluate:
                    means |= evaluate(state.params, state.buffers, evaluation_data)
                values = {name: value.item() for name, value in means.items()}
                if criterion and criterion.improves(values, report.rows):
                    best_state = tree.map(torch.clone, state)  # the next step may overwrite `state`
                    report.save(best_state, {"epoch": done.epoch}, BEST)
                report.row({"epoch": done.epoch, **values, "seconds": time.monotonic() - done.started})
                _save(report, state, progress, run)
                progress.started = time.monotonic()
                if interrupt.is_set():
                    raise Interrupted(_interrupt_message(report, state))
            else:
                progress.started, progress.saved = done.started, done.saved
    if criterion and best_state is None:
        report.log(f"warning: '{criterion.name}' was never a number; the last state is returned, not the best")
    return state if best_state is None else best_state


def _resume(
    report: Report, state: TrainState, steps: int, epochs: int, run: dict[str, Any]
) -> tuple[TrainState, Progress]:
    """Loads the state and the progress from the report's checkpoint, and restores the report's rows."""
    state, saved = report.load(state)
    _check_same(saved.get("run"), run)
    progress = Progress.at(state, steps, saved)
    if int(state.step) > steps * epochs:
        raise CheckpointError(
            f"{_folder(report)}: holds step {int(state.step)}, but with epochs={epochs} this run ends at step "
            f"{steps * epochs}; resume it with {-(-int(state.step) // steps)} epochs or more, or start a new run"
        )
    _check_loaded(report, state)
    report.log(f"resuming at step {int(state.step)} of {steps * epochs}")
    report.restore_rows(progress.epoch - 1, saved["rows"], saved["names"])
    return state, progress


def _save(report: Report, state: TrainState, progress: Progress, run: Mapping[str, Any]) -> None:
    _check_finite(report, state, progress)
    totals = {name: total.item() for name, total in progress.totals.items()}
    rows = [row for row in report.rows if row["epoch"] < progress.epoch]
    measured = {"totals": totals, "order": list(totals), "rows": len(rows), "names": sorted(rows[-1]) if rows else []}
    report.save(state, {**measured, "run": run})
    progress.saved = time.monotonic()


def _interrupt_message(report: Report, state: TrainState) -> str:
    saved = f", and saved in {report.directory}" if report.directory else ""
    return f"interrupted after step {int(state.step)}{saved}"


def _check_same(saved: Any, now: dict[str, Any]) -> None:
    saved = saved if isinstance(saved, dict) else {}
    for name in sorted(saved.keys() | now.keys()):
        if saved.get(name) != now.get(name):
            was = files.printable(f"{name}={saved.get(name)}")
            raise CheckpointError(
                f"the run was made with {was}, but this one has {files.printable(name)}={now.get(name)}; "
                "resume it with the original settings, or start a new run"
            )


def _check_loaded(report: Report, state: TrainState) -> None:
    bad = [p for p, leaf in tree.leaves_with_paths(state.params) if not torch.isfinite(leaf).all()]
    if bad:
        raise CheckpointError(f"{_folder(report)}: its parameter '{bad[0]}' is not finite; start again or use a copy")


def _folder(report: Report) -> Path | None:
    return report.directory and report.directory / "checkpoint"


def _check_finite(report: Report, state: TrainState, progress: Progress) -> None:
    loss = progress.totals["loss"].item() / progress.totals["rows"].item() if progress.totals else 0.0
    bad = [p for p, leaf in tree.leaves_with_paths(state.params) if not torch.isfinite(leaf).all()]
    if math.isfinite(loss) and not bad:
        return
    what = f"parameter '{bad[0]}' is" if math.isfinite(loss) else f"the mean loss of epoch {progress.epoch} is {loss},"
    saved = f"; the last finite state is in {report.directory / 'checkpoint'}" if report.directory else ""
    raise NonFiniteLossError(f"{what} not finite at step {int(state.step)}; try a lower learning rate{saved}")


@contextmanager
def _deferred_interrupt() -> Iterator[threading.Event]:
    """Context manager with an event that Ctrl-C sets instead of raising `KeyboardInterrupt` in the middle of a step.

    A donated state that a step has only partly overwritten could not be saved.
    """
    interrupt = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # Python handles signals in the main thread only
        yield interrupt
        return

    def handle(signal_number: int, frame: Any) -> None:
        if interrupt.is_set():
            raise KeyboardInterrupt
        interrupt.set()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
