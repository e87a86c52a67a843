"""A lesson: a table of expressions, their results and the tutorial's figures, and remarks that correct the tutorial."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch

from . import source

T = TypeVar("T")
MOST_SHOWN = 50  # elements of a list in a cell of the table


@dataclass(frozen=True)
class Line:
    """One line of the table: an expression or its description, its result, and the tutorial's figure."""

    expression: str
    result: str
    tutorial: str


@dataclass
class Lesson:
    """Collects the lines of a table and, under the same names, the metrics of `--json`.

    >>> lesson = Lesson()
    >>> a, b = torch.tensor([1.0, 5.0]), torch.tensor([5.0, 5.0])
    >>> dot = lesson.show_code("dot", torch.dot(a, b), "30.0")
    >>> lesson.lines[0].expression, lesson.lines[0].result, lesson.metrics["dot"]
    ('dot = torch.dot(a, b)', '30', 30.0)
    >>> _ = lesson.show("sizes", "sizes of both vectors", [len(a), len(b)])
    """

    lines: list[Line] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)

    def show_code(self, name: str, value: T, tutorial: str = "", digits: int = 6, *, preceding: int = 0) -> T:
        """Adds a line with the source code of `value`, which is read from the caller's file. Returns `value`.

        Args:
            name: of the value in the metrics.
            value: the expression to show. The elements of a tuple or a list are shown without its brackets.
            tutorial: what the tutorial says about it.
            digits: significant digits of numbers in the table, as in `show`.
            preceding: number of statements above the call whose source is shown, too.

        Raises:
            ValueError: there is a line of this name, or the source code cannot be read.
        """
        code = source.of_argument(sys._getframe(1), "show_code", 1, preceding)
        return self.show(name, code, value, tutorial, digits)

    def show(self, name: str, description: str, value: T, tutorial: str = "", digits: int = 6) -> T:
        """Adds a line that describes `value` in words or as a formula. Returns `value`.

        In the metrics, a tensor is lists of numbers with all their digits. The table has `digits` significant digits;
        17 are as many as distinguish a float64 from all others.

        Raises:
            ValueError: there is a line of this name.
        """
        if name in self.metrics:
            raise ValueError(f"lesson: '{name}' is shown twice; give each line a name of its own")
        self.metrics[name] = plain(value)
        self.lines.append(Line(description, written(value, digits), tutorial))
        return value

    def remark(self, text: str) -> None:
        """Adds a sentence below the table, such as a correction of the tutorial."""
        self.remarks.append(text)


def raised(f: Callable[..., Any], *arguments: Any) -> str:
    """Returns the name and the message of the error that `f(*arguments)` raises, or "" if it raises none.

    >>> raised(torch.unsqueeze, torch.ones(2), 2)
    'IndexError: Dimension out of range (expected to be in range of [-2, 1], but got 2)'
    """
    try:
        f(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return ""


def plain(value: Any) -> Any:
    """Returns `value` in JSON's types: numbers, strings, booleans and lists of them."""
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value]
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def written(value: Any, digits: int = 6) -> str:
    """Returns `value` as text: numbers to `digits` significant digits, a matrix with a line for each row.

    Of a long list it has the first and the last; the metrics have all of them.

    >>> written(list(range(100)))
    '0 1 2 3 4 5 6 7 8 9 ... 97 98 99 (100 in all)'
    """
    value = plain(value)
    if isinstance(value, list) and value and isinstance(value[0], list):
        return "\n".join(written(row, digits) for row in value)
    if isinstance(value, list):
        parts = [written(part, digits) for part in value]
        if len(parts) > MOST_SHOWN:
            parts = [*parts[:10], "...", *parts[-3:], f"({len(parts)} in all)"]
        return " ".join(parts)
    return f"{value:.{digits}g}" if isinstance(value, float) and digits < 17 else str(value)
