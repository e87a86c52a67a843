"""The loop over epochs: batches, steps, evaluation, checkpoints, and stopping and going on without a trace."""

from __future__ import annotations

import json
import math
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from funcdl import random, tree
from funcdl.data import epoch_indices, length, steps_per_epoch, take
from funcdl.train import files
from funcdl.train.files import CheckpointError
from funcdl.train.report import Report, Row
from funcdl.train.state import TrainState
from funcdl.train.step import Step
from funcdl.tree import Tree

SAVE_SECONDS = 60.0  # between checkpoints inside an epoch
BEST = "best"  # the folder beside the checkpoint
LOOK_STEPS = 50  # between looks at the loss, each of which waits for the device

Direction = Literal["min", "max"]
LOWER = ("loss", "mae", "mse", "rmse", "mean_absolute_error", "mean_squared_error", "perplexity")
HIGHER = ("accuracy", "score", "top_k", "r2", "f1", "precision", "recall")
KNOWN: dict[str, Direction] = {**dict.fromkeys(LOWER, "min"), **dict.fromkeys(HIGHER, "max")}


class Interrupted(KeyboardInterrupt):
    """Ctrl-C was pressed, and the run is saved."""


class NonFiniteLossError(ArithmeticError):
    """The loss, or a parameter, is not finite any more; the last checkpoint holds a state that is."""


def fit(
    state: TrainState,
    step: Step,
    data: tuple[Tree, Tree],
    *,
    key: Tensor,
    epochs: int,
    batch_size: int,
    drop_last: bool = True,
    every: int = 1,
    order: Callable[[Tensor], Sequence[Tensor]] | None = None,
    evaluate: Callable[[Tree, Tree], dict[str, Tensor]] | None = None,
    best: str | tuple[str, Direction] | None = None,
    report: Report | None = None,
    resume: bool = False,
    info: Mapping[str, Any] | None = None,
) -> TrainState:
    """Trains for a number of epochs and returns the last state, or the best.

    The order of the rows in epoch e follows from `fold_in(key, e)` and nothing else is random outside the steps, so a
    run that was stopped anywhere and resumed ends with the same bits as one that never was.

    Args:
        state: the state to begin with. If `step` donates it, it is gone after the call.
        step: from `make_step`, compiled or not.
        data: `(inputs, targets)` with a row per sample, on the device of the state.
        key: what the order of the rows is drawn from.
        epochs: how many times to go through the data, 1 or more.
        batch_size: rows per step.
        drop_last: whether to leave out a last batch that is short; keeping it costs a compiled step a second graph.
        every: epochs from one row to the next, for those that take a moment; the last epoch always has a row, and a row
            is about its own epoch only.
        order: `(key) -> row numbers of each batch` for one epoch, as many batches as without it: shuffled by default,
            or for instance `data.bucketed_epoch_indices`.
        evaluate: `(params, buffers) -> measured`, called for each row.
        best: a name in the rows and "max" or "min", such as `("val_cost", "min")`; the name alone where it ends in a
            metric whose better direction is known, such as "val_loss", "val_mae" or "val_accuracy". Then the state of
            the row with the highest or lowest such value, the first if several, is saved beside the checkpoint, under
            "best", and returned instead of the last one. NaN is never the best.
        report: where rows, progress and checkpoints go. A checkpoint is saved at the start, after each row, every
            minute, and when Ctrl-C is pressed.
        resume: whether to go on from the report's checkpoint.
        info: what else decides the bits of the run (precision, threads, ...), in JSON's terms: it is saved in the
            checkpoints, and a run can be resumed only where it is the same, with the same `key`, `batch_size` and data.

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
    >>> report = train.Report()
    >>> state = fit(state, step, (x, 3 * x + 1), key=random.key(1), epochs=20, batch_size=8, report=report)
    >>> state.step, report.rows[-1]["loss"] < 1e-3
    (tensor(160), True)
    """
    for name, number in (("epochs", epochs), ("every", every)):
        if number < 1:
            raise ValueError(f"{name}={number}: must be 1 or more")
    sought = _sought(best)
    report = report or Report()
    rows = length(data)
    steps = steps_per_epoch(rows, batch_size, drop_last=drop_last)
    shuffle = order or partial(epoch_indices, n=rows, batch_size=batch_size, drop_last=drop_last)
    drawn = {"rows": rows, "batch_size": batch_size, "drop_last": drop_last, "key": key.tolist()}
    run = json.loads(json.dumps({**(info or {}), **drawn}))  # as it will be read back: JSON has no tuples
    if resume:
        state, saved = report.load(state)
        _check_same(saved.get("run"), run)
        progress = _Progress.at(state, steps, saved)
        if int(state.step) > steps * epochs:
            raise CheckpointError(
                f"{_kept(report)}: holds step {int(state.step)}, and this run ends at step {steps * epochs}; "
                "resume it as it was made, or start a new one"
            )
        _check_loaded(report, state)
        report.log(f"resuming at step {int(state.step)} of {steps * epochs}")
        report.restore_rows(progress.epoch - 1, saved["rows"], saved["names"])
        kept = report.load(state, BEST)[0] if sought and any(_is_number(row, sought) for row in report.rows) else None
    else:
        progress = _Progress(epoch=1, step=0)
        kept = None
        _save(report, state, progress, run)
        report.restore_rows(0)

    with _deferred_interrupt() as interrupt:
        while progress.epoch <= epochs:
            batches = shuffle(random.fold_in(key, progress.epoch))
            with report.bar(f"epoch {progress.epoch}/{epochs}", steps, progress.step) as bar:
                for indices in batches[progress.step :]:
                    state, measured = step(state, take(data, indices))
                    progress.add(measured, len(indices))
                    bar.update(1)
                    if progress.step % LOOK_STEPS == 0:
                        _check_finite(report, state, progress)
                        bar.set_postfix_str(f"loss {measured['loss']:.4f}")
                        report.scalar("step_loss", measured["loss"].item(), int(state.step))
                    if interrupt.is_set() or time.monotonic() - progress.saved > SAVE_SECONDS:
                        _save(report, state, progress, run)
                    if interrupt.is_set():
                        raise Interrupted(_where(report, state))
            _check_finite(report, state, progress)
            done = progress
            progress = _Progress(epoch=done.epoch + 1, step=0)
            if done.epoch % every == 0 or done.epoch == epochs:
                means = done.means() | (evaluate(state.params, state.buffers) if evaluate else {})
                values = {name: value.item() for name, value in means.items()}
                if sought and _is_better(sought, values, report.rows):
                    kept = tree.map(torch.clone, state)  # a step may be given the memory of the state
                    report.save(kept, {"epoch": done.epoch}, BEST)
                report.row({"epoch": done.epoch, **values, "seconds": time.monotonic() - done.started})
                _save(report, state, progress, run)
                progress.started = time.monotonic()
                if interrupt.is_set():
                    raise Interrupted(_where(report, state))
            else:
                progress.started, progress.saved = done.started, done.saved
    if sought and kept is None:
        report.log(f"warning: '{sought[0]}' was never a number; the last state is returned, not the best")
    return state if kept is None else kept


def _sought(best: str | tuple[str, Direction] | None) -> tuple[str, Direction] | None:
    """The name of what decides, and which way."""
    if best is None:
        return None
    if isinstance(best, str):
        found = re.search(rf"(?:loss|accuracy|(?<![a-z0-9])(?:{'|'.join(KNOWN)}))$", best.lower())
        if found is None:
            raise ValueError(f"fit(best={best!r}): is more of it better? pass best=({best!r}, 'max') or 'min'")
        return best, KNOWN[found[0]]
    if not (isinstance(best, tuple) and len(best) == 2 and isinstance(best[0], str) and best[1] in ("min", "max")):
        raise ValueError(f"fit(best={best!r}): must be a name in the rows and 'max' or 'min', as ('val_cost', 'min')")
    return best


def _is_better(sought: tuple[str, Direction], values: Row, rows: Sequence[Row]) -> bool:
    name, direction = sought
    if name not in values:
        raise ValueError(f"fit(best={name!r}): is not measured; the rows have {', '.join(values)}")
    sign = -1 if direction == "min" else 1
    return _is_number(values, sought) and all(
        sign * values[name] > sign * row[name] for row in rows if _is_number(row, sought)
    )


def _is_number(row: Row, sought: tuple[str, Direction]) -> bool:
    return not math.isnan(row[sought[0]])


@dataclass
class _Progress:
    """Where in its epoch a run is, and the sums of what it has measured there."""

    epoch: int
    step: int
    totals: dict[str, Tensor] = field(default_factory=dict)  # float64, weighted by rows; "rows" is their number
    started: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    @classmethod
    def at(cls, state: TrainState, steps: int, saved: dict[str, Any]) -> _Progress:
        wrong = files.difference(saved, {"totals": {str: float}, "order": [str], "rows": int, "names": [str]})
        totals = {} if wrong else saved["totals"]
        epoch, step = divmod(int(state.step), steps)
        if totals and step == 0:  # all steps of the epoch are done, but not its evaluation
            epoch, step = epoch - 1, steps
        if not wrong and (epoch < 0 or bool(totals) != bool(step)):
            wrong = f"step {int(state.step)} and its totals do not fit together"
        if not wrong and sorted(saved["order"]) != sorted(totals):
            wrong = "the names of its totals are not in order"
        if not wrong and totals and not (totals.keys() >= {"loss", "rows"} and totals["rows"] > 0):
            wrong = "its totals are not a training run's"
        if wrong:
            raise CheckpointError(f"the checkpoint is damaged: {wrong}; start again or use a copy")
        sums = {
            name: torch.tensor(totals[name], dtype=torch.float64, device=state.step.device)
            for name in (saved["order"] if totals else ())
        }
        return cls(epoch + 1, step, sums)

    def add(self, measured: dict[str, Tensor], rows: int) -> None:
        self.step += 1
        weighted = {
            name: value.detach().double() * rows
            for name, value in {**measured, "rows": torch.ones_like(measured["loss"])}.items()
        }
        if self.totals and self.totals.keys() != weighted.keys():
            raise CheckpointError(
                f"the checkpoint has sums of {', '.join(self.totals)}, and a step measures {', '.join(measured)}; "
                "resume the run as it was made, or start a new one"
            )
        self.totals = {name: self.totals[name] + one if self.totals else one for name, one in weighted.items()}

    def means(self) -> dict[str, Tensor]:
        rows = self.totals["rows"]
        return {name: total / rows for name, total in self.totals.items() if name != "rows"}


def _save(report: Report, state: TrainState, progress: _Progress, run: Mapping[str, Any]) -> None:
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
        raise CheckpointError(f"{_kept(report)}: its parameter '{bad[0]}' is not finite; start again or use a copy")


def _kept(report: Report) -> Path | None:
    return report.directory and report.directory / "checkpoint"


def _check_finite(report: Report, state: TrainState, progress: _Progress) -> None:
    loss = progress.totals["loss"].item() / progress.totals["rows"].item() if progress.totals else 0.0
    bad = [p for p, leaf in tree.leaves_with_paths(state.params) if not torch.isfinite(leaf).all()]
    if math.isfinite(loss) and not bad:
        return
    what = f"parameter '{bad[0]}' is" if math.isfinite(loss) else f"the mean loss of epoch {progress.epoch} is {loss},"
    kept = f"; the last finite state is in {report.directory / 'checkpoint'}" if report.directory else ""
    raise NonFiniteLossError(f"{what} not finite at step {int(state.step)}; try a lower learning rate{kept}")


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
