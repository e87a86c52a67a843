"""The loop over epochs: batches, steps, evaluation, checkpoints, and stopping and going on without a trace."""

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
BEST = "best"  # the folder beside the checkpoint
LOOK_STEPS = 50  # between looks at the loss, each of which waits for the device


class Interrupted(KeyboardInterrupt):
    """Ctrl-C was pressed, and the run is saved."""


class NonFiniteLossError(ArithmeticError):
    """The loss, or a parameter, is not finite any more; the last checkpoint holds a state that is."""


@dataclass(frozen=True)
class Batches:
    """How rows become batches.

    Attributes:
        key: the order of the rows in epoch e is drawn from `fold_in(key, e)`.
        batch_size: rows per step.
        drop_last: whether to leave out a last batch that is short; keeping it costs a compiled step a second graph.
        order: `(key) -> row numbers of each batch` for one epoch, as many batches as without it: shuffled by default,
            or for instance `data.bucketed_epoch_indices`.
        collate: what to do to a batch before the step, outside of its graph, such as cutting padding.
    """

    key: Tensor
    batch_size: int
    drop_last: bool = True
    order: Callable[[Tensor], Sequence[Tensor]] | None = None
    collate: Callable[[Tree], Tree] | None = None


@dataclass(frozen=True)
class Record:
    """What a run records, and whether it goes on from what an earlier one has recorded.

    Attributes:
        report: where rows, progress and checkpoints go. A checkpoint is saved at the start, after each row, every
            minute, and when Ctrl-C is pressed.
        resume: whether to go on from the report's checkpoint.
        info: what else decides the bits of the run (precision, threads, ...), in JSON's terms: it is saved in the
            checkpoints, and a run can be resumed only where it is the same, with the same batches and data.
        best: a name in the rows and "max" or "min", such as `("val_cost", "min")`; the name alone where it ends in a
            metric whose better direction is known, such as "val_loss", "val_mae" or "val_accuracy". Then the state of
            the row with the highest or lowest such value, the first if several, is saved beside the checkpoint, under
            "best", and returned instead of the last one. NaN is never the best.
        every: epochs from one row to the next, for those that take a moment; the last epoch always has a row, and a row
            is about its own epoch only.
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

    Nothing is random outside the steps but the order of the rows, which follows from the key of the batches, so a
    run that was stopped anywhere and resumed ends with the same bits as one that never was.

    Args:
        state: the state to begin with. If `step` donates it, as it does with `compile`, it is gone after the call.
        step: from `make_step`.
        data: `(inputs, targets)` with a row per sample, on the device of the state.
        batches: how the rows are ordered and batched.
        epochs: how many times to go through the data, 1 or more.
        evaluate: from `make_evaluate`: `(params, buffers, evaluation_data) -> measured`, called for each row.
        evaluation_data: the batches that `evaluate` is given.
        on_step: called after each step with the state and what the step has measured.
        compile: whether to compile the step, which then writes over the state that it is given.
        record: what is recorded; by default nothing.

    Raises:
        Interrupted: Ctrl-C was pressed; the state is saved. (A second Ctrl-C does not wait for the step to end.)
        NonFiniteLossError: the loss or a parameter is NaN or infinite; both are looked at before each checkpoint.
        ValueError: `epochs`, `every` or `batch_size` is out of range, or `best` does not say what is better, or is
            not measured.
        CheckpointError: `resume` with a checkpoint that is missing, damaged or another run's, or under another `info`.
        WriteError: a file of the run cannot be written; what was saved before is kept, and can be resumed.

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
    drawn = {"rows": rows, "batch_size": batch_size, "drop_last": drop_last, "key": batches.key.tolist()}
    run = json.loads(json.dumps({**(record.info or {}), **drawn}))  # as it will be read back: JSON has no tuples
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
                    if progress.step % LOOK_STEPS == 0:
                        _check_finite(report, state, progress)
                        bar.set_postfix_str(f"loss {format_number(measured['loss'].item())}")
                        report.scalar("step_loss", measured["loss"].item(), int(state.step))
                    if interrupt.is_set() or time.monotonic() - progress.saved > SAVE_SECONDS:
                        _save(report, state, progress, run)
                    if interrupt.is_set():
                        raise Interrupted(_where(report, state))
            _check_finite(report, state, progress)
            done = progress
            progress = Progress(epoch=done.epoch + 1, step=0)
            if done.epoch % every == 0 or done.epoch == epochs:
                means = done.means()
                if evaluate:
                    means |= evaluate(state.params, state.buffers, evaluation_data)
                values = {name: value.item() for name, value in means.items()}
                if criterion and criterion.improves(values, report.rows):
                    best_state = tree.map(torch.clone, state)  # a step may be given the memory of the state
                    report.save(best_state, {"epoch": done.epoch}, BEST)
                report.row({"epoch": done.epoch, **values, "seconds": time.monotonic() - done.started})
                _save(report, state, progress, run)
                progress.started = time.monotonic()
                if interrupt.is_set():
                    raise Interrupted(_where(report, state))
            else:
                progress.started, progress.saved = done.started, done.saved
    if criterion and best_state is None:
        report.log(f"warning: '{criterion.name}' was never a number; the last state is returned, not the best")
    return state if best_state is None else best_state


def _resume(
    report: Report, state: TrainState, steps: int, epochs: int, run: dict[str, Any]
) -> tuple[TrainState, Progress]:
    """The state and the progress of the report's checkpoint; its rows are read back."""
    state, saved = report.load(state)
    _check_same(saved.get("run"), run)
    progress = Progress.at(state, steps, saved)
    if int(state.step) > steps * epochs:
        raise CheckpointError(
            f"{_folder(report)}: holds step {int(state.step)}, and with epochs={epochs} this run ends at step "
            f"{steps * epochs}; resume it with {-(-int(state.step) // steps)} epochs or more, or start a new one"
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


def _where(report: Report, state: TrainState) -> str:
    saved = f", and saved in {report.directory}" if report.directory else ""
    return f"interrupted after step {int(state.step)}{saved}"


def _check_same(saved: Any, now: dict[str, Any]) -> None:
    saved = saved if isinstance(saved, dict) else {}
    for name in sorted(saved.keys() | now.keys()):
        if saved.get(name) != now.get(name):
            was = files.clean(f"{name}={saved.get(name)}")
            raise CheckpointError(
                f"the run was made with {was} and this is {files.clean(name)}={now.get(name)}; "
                "resume it as it was made, or start a new one"
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
    """An event that Ctrl-C sets, so that no step is cut in half: it may be writing over a state it was donated."""
    interrupt = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
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
