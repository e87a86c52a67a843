"""The criterion for the best row of a run: a measurement, and whether lower or higher is better."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from funcdl.train.report import Row

Direction = Literal["min", "max"]
LOWER = ("loss", "mae", "mse", "rmse", "mean_absolute_error", "mean_squared_error", "perplexity")
HIGHER = ("accuracy", "score", "top_k", "r2", "f1", "precision", "recall")
KNOWN: dict[str, Direction] = {**dict.fromkeys(LOWER, "min"), **dict.fromkeys(HIGHER, "max")}


class Criterion(NamedTuple):
    """The name of a measurement, and whether lower or higher values of it are better."""

    name: str
    direction: Direction

    def improves(self, values: Row, rows: Sequence[Row]) -> bool:
        """Whether `values` is better than all earlier `rows`. NaN is never better.

        Raises:
            ValueError: the measurement is missing.
        """
        if self.name not in values:
            raise ValueError(f"fit(best={self.name!r}): is not measured; choose one of {', '.join(values)}")
        sign = -1 if self.direction == "min" else 1
        return self.is_number(values) and all(
            sign * values[self.name] > sign * row[self.name] for row in rows if self.is_number(row)
        )

    def is_number(self, row: Row) -> bool:
        """Whether the measurement of a row is not NaN."""
        return not math.isnan(row[self.name])


def make_criterion(best: str | tuple[str, Direction]) -> Criterion:
    """Returns the criterion for the `best` of a `Record`.

    Raises:
        ValueError: `best` is neither a name whose better direction is known nor a pair of a name and a direction.

    >>> make_criterion("val_loss")
    Criterion(name='val_loss', direction='min')
    """
    if isinstance(best, str):
        found = re.search(rf"(?:loss|accuracy|(?<![a-z0-9])(?:{'|'.join(KNOWN)}))$", best.lower())
        if found is None:
            raise ValueError(f"fit(best={best!r}): is higher better? pass best=({best!r}, 'max'), or 'min' if not")
        return Criterion(best, KNOWN[found[0]])
    if not (isinstance(best, tuple) and len(best) == 2 and isinstance(best[0], str) and best[1] in ("min", "max")):
        raise ValueError(f"fit(best={best!r}): expected a pair of a name and 'max' or 'min', as ('val_cost', 'min')")
    return Criterion(*best)
