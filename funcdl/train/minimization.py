"""Minimization of a loss as one scan, for small problems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim import Transformation, apply_updates
from funcdl.train.loop import NonFiniteLossError
from funcdl.train.report import Report
from funcdl.transforms import jit, scan
from funcdl.tree import Tree

ROWS = 10  # in a report, spread evenly over the epochs


def minimize(
    value_and_grad: Callable[[Tree, Tree], tuple[Tensor, Tree]],
    params: Tree,
    optimizer: Transformation,
    xs: Tree = (),
    *,
    steps: int | None = None,
    steps_per_epoch: int = 1,
    measure: Callable[[Tree, Tree], dict[str, Tensor]] | None = None,
    compile: bool = False,
    may_diverge: bool = False,
    report: Report | None = None,
    rows: bool = True,
    info: Mapping[str, Any] | None = None,
) -> tuple[Tree, dict[str, Tensor]]:
    """Runs a number of optimizer steps; returns the last parameters and what was measured before each step.

    This is for problems that take seconds, such as fitting a curve to a hundred points: nothing is saved before the
    end. Use `fit` for data that are too large for one step, and for runs that may be interrupted.

    Args:
        value_and_grad: `(params, x) -> (loss, grads)`, usually `value_and_grad(objective)`.
        params: the initial parameters.
        optimizer: receives the gradients, and the loss as `value`. To train an ensemble, wrap this `value_and_grad`,
            `measure` and the optimizer's functions in `vmap`; there is then a loss for each member.
        xs: the inputs of the steps (batches, keys), stacked along a first dimension; empty if the steps take none.
        steps: the number of steps, needed only if `xs` is empty.
        steps_per_epoch: the number of steps in an epoch; a row of the report has the means over its epoch.
        measure: `(params, x) -> measured`, further measurements of the parameters before each step.
        compile: whether to compile the loop as one program.
        may_diverge: whether to return a history with infinite or NaN losses instead of raising an error.
        report: receives the last parameters as a checkpoint, and rows for about ten epochs.
        rows: whether to report the rows.
        info: saved in the checkpoint as `run`.

    Returns:
        The parameters after the last step, and a dict of tensors with a first dimension over the steps: `loss` and the
        measurements.

    Raises:
        NonFiniteLossError: a loss or a final parameter is not finite; the checkpoint then holds the last parameters
            that had a finite loss.

    >>> from funcdl import optim
    >>> from funcdl.transforms import value_and_grad
    >>> slope = value_and_grad(lambda w, x: (w - 3.0) ** 2)
    >>> w, history = minimize(slope, torch.tensor(1.0), optim.sgd(lr=0.25), steps=3)
    >>> w, history["loss"]
    (tensor(2.7500), tensor([4.0000, 1.0000, 0.2500]))
    """

    def step(carry: Tree, x: Tree) -> tuple[Tree, dict[str, Tensor]]:
        params, state, last = carry
        loss, grads = value_and_grad(params, x)
        finite = torch.isfinite(loss).all()
        last = tree.map(lambda new, old: torch.where(finite, new, old), params, last)
        updates, state = optimizer.update(grads, state, params, value=loss)
        measured = {"loss": loss, **(measure(params, x) if measure else {})}
        return (apply_updates(params, updates), state, last), measured

    def run(params: Tree, state: Tree, xs: Tree) -> tuple[Tree, dict[str, Tensor]]:
        return scan(step, (params, state, params), xs, steps)

    (params, _, last), history = (jit(run) if compile else run)(params, optimizer.init(params), xs)
    losses = history["loss"].reshape(len(history["loss"]), -1)
    bad = (~torch.isfinite(losses).all(1)).nonzero().flatten().tolist()
    if not bad and not all(torch.isfinite(leaf).all() for leaf in tree.leaves(params)):
        bad = [len(losses)]
    if report:
        # Saved before the rows are written, because a run without a checkpoint cannot be resumed.
        report.save(last if bad else params, {"run": dict(info or {})})
        if rows:
            _report(report, history, bad[0] if bad else len(losses), steps_per_epoch)
    if bad and not may_diverge:
        saved = (
            f"; the last finite state is in {report.directory / 'checkpoint'}" if report and report.directory else ""
        )
        raise NonFiniteLossError(f"the loss is not finite after step {bad[0]}; try a lower learning rate{saved}")
    return params, history


def _report(report: Report, history: dict[str, Tensor], finite: int, steps_per_epoch: int) -> None:
    report.restore_rows(0)
    total = len(history["loss"]) // steps_per_epoch
    epochs = {name: values.unflatten(0, (total, steps_per_epoch)) for name, values in history.items()}
    numbers = {name: values.mean(1).tolist() for name, values in epochs.items() if values.ndim == 2}
    for epoch in sorted({1, *(round(total * part / ROWS) for part in range(1, ROWS + 1))}):
        if 1 <= epoch <= finite // steps_per_epoch:
            report.row({"epoch": epoch, **{name: values[epoch - 1] for name, values in numbers.items()}})
