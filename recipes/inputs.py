"""The inputs of `predict`: numbers on the command line, or the rows of a CSV file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from funcdl import data

from .settings import SettingsError


def rows(
    inputs: Sequence[str],
    columns: Sequence[str],
    *,
    words: Mapping[str, Mapping[str, float]] | None = None,
    missing: float | None = None,
) -> tuple[list[str], Float[Tensor, "rows columns"]]:
    """Returns a name for each row, and the numbers.

    Args:
        inputs: each is a row, with a value for every column between commas, or names a CSV file that has them.
        columns: their names, in order. In a file they may stand in any order, among others.
        words: `{column: {word: number}}` for columns that hold words.
        missing: the number for an empty cell; None refuses it.

    Raises:
        SettingsError: a value is missing, or is not a finite number or one of the words.
        DataError: the file cannot be read, or lacks a column.

    >>> rows(["35.7", "-4"], ["t_u"])
    (['35.7', '-4'], tensor([[35.7000],
            [-4.0000]]))
    >>> rows(["female,22"], ["sex", "age"], words={"sex": {"male": 0, "female": 1}})[1]
    tensor([[ 1., 22.]])
    """
    names: list[str] = []
    numbers: list[list[float]] = []
    for text in inputs:
        for name, cells in _texts(text, columns):
            names.append(name)
            numbers.append(
                [
                    _number(name, column, cell, (words or {}).get(column), missing)
                    for column, cell in zip(columns, cells, strict=True)
                ]
            )
    return names, torch.tensor(numbers, dtype=torch.float64).float().reshape(len(names), len(columns))


def _texts(text: str, columns: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The cells of a row on the command line, or of each row of a file, with what to call it."""
    path = Path(text)
    if path.suffix in (".csv", ".gz") or _is_file(path):
        table = data.read_text_table(path, columns=columns)
        return [(f"{text}, line {line}", cells) for cells, line in zip(table.rows, table.lines, strict=True)]
    cells = text.split(",")
    if len(cells) != len(columns):
        count = f"{len(columns)} value{'s'[: len(columns) != 1]} ({', '.join(columns)})"
        raise SettingsError(
            f"'{text}': has {len(cells)} value{'s'[: len(cells) != 1]} and names no file; give {count}, with commas "
            "between them, or a CSV file with a header"
        )
    return [(text, cells)]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # many values are too long for a name
        return False


def _number(name: str, column: str, cell: str, words: Mapping[str, float] | None, missing: float | None) -> float:
    cell = cell.strip()
    if not cell and missing is not None:
        return missing
    if words is not None:
        if cell not in words:
            raise SettingsError(f"{name}: '{column}' is '{cell}'; it must be one of {', '.join(words)}")
        return words[cell]
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or abs(number) > torch.finfo(torch.float32).max:
        raise SettingsError(f"{name}: '{column}' is '{cell}'; it must be a number, such as 0.5")
    return number
