"""A lesson: what was computed, beside what the tutorial says, and remarks where the tutorial is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Line:
    """One line of the table: the expression as a learner would type it, its result, and the tutorial's figure."""

    expression: str
    result: str
    tutorial: str


@dataclass
class Lesson:
    """Collects the lines of a table and, under the same names, the metrics of `--json`.

    >>> lesson = Lesson()
    >>> _ = lesson.show("dot", "torch.dot(a, b)", torch.tensor(30.0), tutorial="30.0")
    >>> lesson.metrics["dot"], lesson.lines[0].result
    (30.0, '30')
    """

    lines: list[Line] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)

    def show(self, name: str, expression: str, value: Any, tutorial: str = "", digits: int = 6) -> Any:
        """Adds a line, and `value` to the metrics as `name`: a tensor as lists of numbers. Returns `value`.

        The line has so many significant digits of a number (17 mean those that tell it apart from other float64s), the
        metrics all of them.
        """
        if name in self.metrics:
            raise ValueError(f"lesson: '{name}' is shown twice; give each line a name of its own")
        self.metrics[name] = plain(value)
        self.lines.append(Line(expression, written(value, digits), tutorial))
        return value

    def remark(self, text: str) -> None:
        """Adds a sentence below the table, such as a correction of the tutorial."""
        self.remarks.append(text)


def raised(f: Callable[..., Any], *arguments: Any) -> str:
    """Returns what `f(*arguments)` raises, to be shown, or "" when it raises nothing.

    >>> raised(torch.unsqueeze, torch.ones(2), 2)
    'IndexError: Dimension out of range (expected to be in range of [-2, 1], but got 2)'
    """
    try:
        f(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return ""


def plain(value: Any) -> Any:
    """Returns `value` as JSON has it: numbers, text, truth values and lists of them."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value]
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def written(value: Any, digits: int = 6) -> str:
    """Returns `value` as a person reads it: numbers to so many significant digits, a matrix row by row."""
    value = plain(value)
    if isinstance(value, list) and value and isinstance(value[0], list):
        return "\n".join(written(row, digits) for row in value)
    if isinstance(value, list):
        return " ".join(written(part, digits) for part in value)
    return f"{value:.{digits}g}" if isinstance(value, float) and digits < 17 else str(value)
