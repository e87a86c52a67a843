"""Predictions of a number from a number, by the parameters that a run of `minimize` has saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from funcdl import train, tree

from .. import runtime
from ..inputs import rows


def predict_number(
    run_dir: Path,
    inputs: Sequence[str],
    column: str,
    like: tree.Tree,
    f: Callable[[tree.Tree, Tensor], Tensor],
    limits: tuple[float, float],
) -> list[dict[str, Any]]:
    """Returns `f(params, x)` for each input, with a note where it lies outside of the training data.

    Args:
        run_dir: of the run; its checkpoint has the parameters.
        inputs: numbers, or CSV files with the column.
        column: what the input is called.
        like: parameters of the same structure.
        f: takes them and inputs of shape (n, 1), and returns as many outputs.
        limits: the least and the largest input of the training data.
    """
    names, x = rows(inputs, [column])
    params, _ = train.load(run_dir / "checkpoint", like)
    runtime.check_finite(run_dir / "checkpoint", params)
    low, high = limits
    note = f"outside of the training data, {low:g} to {high:g}: little is known there"
    return [
        {"input": name, "prediction": y, "notes": [] if low <= given <= high else [note]}
        for name, y, given in zip(names, f(params, x).flatten().tolist(), x.flatten().tolist(), strict=True)
    ]
