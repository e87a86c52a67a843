"""Which row of a run is the best: the measurement that decides, and its better direction."""

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
    """The name of the measurement that decides, and whether lower or higher is better."""

    name: str
    direction: Direction

    def improves(self, values: Row, rows: Sequence[Row]) -> bool:
        """Whether `values` is better than all rows before it; NaN never is.

        Raises:
            ValueError: the measurement is missing.
        """
        if self.name not in values:
            raise ValueError(f"fit(best={self.name!r}): is not measured; the rows have {', '.join(values)}")
        sign = -1 if self.direction == "min" else 1
        return self.is_number(values) and all(
            sign * values[self.name] > sign * row[self.name] for row in rows if self.is_number(row)
        )

    def is_number(self, row: Row) -> bool:
        """Whether the measurement of a row is not NaN."""
        return not math.isnan(row[self.name])


def make_criterion(best: str | tuple[str, Direction]) -> Criterion:
    """Returns the criterion for the argument `best` of `fit`.

    Raises:
        ValueError: it is neither a name with a known direction nor a name and a direction.

    >>> make_criterion("val_loss")
    Criterion(name='val_loss', direction='min')
    """
    if isinstance(best, str):
        found = re.search(rf"(?:loss|accuracy|(?<![a-z0-9])(?:{'|'.join(KNOWN)}))$", best.lower())
        if found is None:
            raise ValueError(f"fit(best={best!r}): is more of it better? pass best=({best!r}, 'max') or 'min'")
        return Criterion(best, KNOWN[found[0]])
    if not (isinstance(best, tuple) and len(best) == 2 and isinstance(best[0], str) and best[1] in ("min", "max")):
        raise ValueError(f"fit(best={best!r}): must be a name in the rows and 'max' or 'min', as ('val_cost', 'min')")
    return Criterion(*best)
