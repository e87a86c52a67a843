"""Columns of a table as a network takes them, gaps filled, mean 0 and deviation 1, in training and in `predict`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from funcdl import data, train

from .. import companion, inputs
from ..settings import TrainingSettings
from ..training import Part, Task, Trained

FAR = 6  # deviations from the mean
NAME = "columns"
DESCRIPTION = {"columns": [str], "scalings": [{"typical": [float], "mean": [float], "deviation": [float]}]}


def tumor_columns() -> list[str]:
    """The names of the thirty measurements of scikit-learn's breast tumors."""
    from sklearn.datasets import load_breast_cancer  # imported here as it takes a second

    return [str(name) for name in load_breast_cancer().feature_names]


@dataclass(frozen=True)
class Scaling:
    """What fills a gap in each column, and the mean and the deviation of the training part once they are filled."""

    typical: Float[Tensor, " columns"]
    mean: Float[Tensor, " columns"]
    deviation: Float[Tensor, " columns"]

    def __call__(self, values: Float[Tensor, "n columns"]) -> Float[Tensor, "n columns"]:
        """Fills the gaps, which are NaN, and scales."""
        filled = torch.where(values.isnan(), self.typical.to(values.dtype), values)
        two_rows = torch.stack([self.mean - self.deviation, self.mean + self.deviation])  # of that mean and deviation
        return data.standardize(filled, by=two_rows)


def scaling(known: Float[Tensor, "n columns"], typical: Float[Tensor, " columns"] | None = None) -> Scaling:
    """Returns the scaling by the training part; without `typical` there are no gaps to fill."""
    typical = known.mean(0) if typical is None else typical
    filled = torch.where(known.isnan(), typical, known).double()
    return Scaling(typical.double(), filled.mean(0), filled.std(0, correction=0))


def fit(
    settings: TrainingSettings,
    report: train.Report,
    task: Task,
    *parts: Part,
    columns: Sequence[str],
    scalings: Sequence[Scaling],
    **options: Any,
) -> Trained:
    """Trains, and leaves the columns and their scaling, for each member of an ensemble, in the folder of the run."""
    written = [{name: value.tolist() for name, value in vars(one).items()} for one in scalings]
    content = {"columns": list(columns), "scalings": written}
    return companion.fit(settings, report, task, *parts, name=NAME, content=content, **options)


def read(
    run_dir: Path, given: Sequence[str], **options: Any
) -> tuple[list[str], Float[Tensor, "n scalings columns"], list[list[str]]]:
    """Reads what to predict for, as `inputs.rows` does, and scales it by each of the run's scalings.

    Returns:
        what to call each row, the rows, and notes on those that are far from all that was trained on.
    """
    content = companion.read(run_dir, NAME, DESCRIPTION)
    columns = content["columns"]
    names, values = inputs.rows(given, columns, **options)
    scalings = [
        Scaling(**{name: torch.tensor(one[name], dtype=torch.float64) for name in ("typical", "mean", "deviation")})
        for one in content["scalings"]
    ]
    scaled = torch.stack([one(values) for one in scalings], 1)
    far = scaled.abs().amin(1) > FAR
    notes = [
        [f"'{columns[index]}' is far from all values trained on" for index in row.nonzero().flatten()] for row in far
    ]
    return names, scaled, notes
