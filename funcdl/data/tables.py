"""Reading tables from text files (CSV, TSV, white space), plain or gzipped, with errors that name line and column."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from funcdl.data.errors import DataError, excerpt
from funcdl.data.files import read_bytes

_PLAIN = re.compile(r"[0-9+\-.eE \t]*").fullmatch  # float() accepts more: "1_2", "infinity", digits of other scripts

Conversion = Mapping[str, float] | Callable[[str], float]


class Table(NamedTuple):
    """Values in rows and columns, and the names of the columns (none for a file without a header)."""

    values: Float[Tensor, "rows columns"]
    names: tuple[str, ...]

    def column(self, name: str) -> Float[Tensor, " rows"]:
        """Returns the column of that name."""
        return self.values[:, self.names.index(name)]


class TextTable(NamedTuple):
    """Text in rows and columns, the names of the columns, and the line of the file on which each row ends."""

    rows: list[list[str]]
    names: tuple[str, ...]
    lines: list[int]


def read_table(
    path: str | os.PathLike[str],
    *,
    delimiter: str | None = ",",
    header: bool = True,
    columns: int | Sequence[str] | None = None,
    convert: Mapping[str, Conversion] | None = None,
    missing: float | None = None,
    dtype: torch.dtype = torch.float32,
) -> Table:
    """Reads a table of numbers.

    Args:
        path: the file, UTF-8, gzipped if its name ends in `.gz`.
        delimiter: the character between columns; None is any run of white space.
        header: whether the first line names the columns.
        columns: the required number of columns, or the names of the columns to return, in this order; None returns
            all columns.
        convert: `{column: conversion}` from text to numbers. A conversion is a dict with all valid texts, or a function
            that raises ValueError for invalid ones. Other columns must contain finite numbers in ASCII digits.
        missing: the value of empty cells; None makes them an error.
        dtype: the dtype of the values. It is an error if it cannot represent one, such as 1e39 in float32 or 1.5 in
            int64.

    Returns:
        `Table(values, names)`: (rows, columns) and the names of the columns.

    Raises:
        DataError: the file is missing, damaged, empty or not UTF-8, the rows differ in their number of columns, a named
            column is missing or duplicated, or a cell is not a number. The message has file, line and column.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "wine.csv"
    >>> _ = path.write_text('"color";"alcohol"\\nwhite;9.5\\nred;12\\n')
    >>> read_table(path, delimiter=";", convert={"color": {"white": 0, "red": 1}})
    Table(values=tensor([[ 0.0000,  9.5000],
            [ 1.0000, 12.0000]]), names=('color', 'alcohol'))
    """
    path, convert = Path(path), convert or {}
    text = read_text_table(path, delimiter=delimiter, header=header, columns=columns)
    _require_columns(path, convert, text.names)
    names = text.names or ("",) * len(text.rows[0])
    parsers = [_parser(convert.get(name), missing) for name in names]
    plain = [missing is None and name not in convert for name in names]
    fast_parsers = [float if is_plain else parse for is_plain, parse in zip(plain, parsers, strict=True)]
    plain_cells = itemgetter(*(index for index, is_plain in enumerate(plain) if is_plain)) if any(plain) else None
    numbers = array("d")
    for row, line in zip(text.rows, text.lines, strict=True):
        try:
            if plain_cells and not _PLAIN(" ".join(plain_cells(row))):
                raise ValueError
            numbers.extend([parse(cell) for parse, cell in zip(fast_parsers, row, strict=True)])
        except ValueError:
            raise DataError(f"{path}, line {line}, {_describe_error(row, text.names, parsers)}") from None
    values = torch.tensor(numbers, dtype=torch.float64).reshape(len(text.rows), -1)
    infinite = (~values.isfinite()).any(1).nonzero()
    if missing is None and len(infinite):
        index = int(infinite[0])
        raise DataError(f"{path}, line {text.lines[index]}, {_describe_error(text.rows[index], text.names, parsers)}")
    converted = values.to(dtype)
    lost = converted.isfinite() != values.isfinite() if dtype.is_floating_point else _rounded(converted, values)
    if lost.any():
        row, column = lost.nonzero()[0].tolist()
        raise DataError(
            f"{path}, line {text.lines[row]}, {_column_label(column, text.names)}: "
            f"'{excerpt(text.rows[row][column])}' is not a number that {dtype} holds; correct it or pass a wider dtype"
        )
    return Table(converted, text.names)


def read_text_table(
    path: str | os.PathLike[str],
    *,
    delimiter: str | None = ",",
    header: bool = True,
    columns: int | Sequence[str] | None = None,
    quoted: bool = True,
) -> TextTable:
    """Reads a table of text; blank lines are skipped.

    Args:
        path: the file, UTF-8, gzipped if its name ends in `.gz`.
        delimiter: the character between columns; None is any run of white space.
        header: whether the first line names the columns.
        columns: the required number of columns, or the names of the columns to return, in this order; None returns
            all columns.
        quoted: whether double quotes enclose cells, which may then contain delimiters; with False they are ordinary
            characters.

    Returns:
        `TextTable(rows, names, lines)`.

    Raises:
        DataError: as in `read_table`, except for the contents of cells.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "passengers.csv"
    >>> _ = path.write_text('Id,Name\\n1,"Braund, Mr. Owen"\\n')
    >>> read_text_table(path, columns=["Name"])
    TextTable(rows=[['Braund, Mr. Owen']], names=('Name',), lines=[2])
    """
    path = Path(path)
    named = columns if isinstance(columns, Sequence) else None
    if named and not header:
        raise ValueError("read_text_table: columns can be chosen by name only in a file with a header")
    found = _split(path, delimiter, quoted)
    line, first = next(found, (1, []))
    if not first:
        raise DataError(f"{path}, line 1, column 1: the file is empty; get it again")
    if isinstance(columns, int) and len(first) != columns:
        raise DataError(_wrong_count(path, line, len(first), columns, delimiter))
    names = tuple(name.strip() for name in first) if header else ()
    for name, count in Counter(names).items():
        if count > 1 and (not named or name in named):
            places = [index for index, other in enumerate(names, 1) if other == name][:2]
            raise DataError(
                f"{path}, line {line}: columns {places[0]} and {places[1]} are both called '{excerpt(name)}'; "
                "rename one, or choose other columns by name"
            )
    rows, lines = ([], []) if header else ([first], [line])
    for line, row in found:
        if len(row) != len(first):
            raise DataError(_wrong_count(path, line, len(row), len(first), delimiter))
        rows.append(row)
        lines.append(line)
    if not rows:
        raise DataError(f"{path}, line {line + 1}, column 1: no rows follow the header; get the file again")
    if named:
        _require_columns(path, named, names)
        chosen = [names.index(name) for name in named]
        rows, names = [[row[index] for index in chosen] for row in rows], tuple(named)
    return TextTable(rows, names, lines)


def read_text(path: str | os.PathLike[str]) -> str:
    """Reads a text file, UTF-8 with or without a byte order mark, gzipped if its name ends in `.gz`.

    Raises:
        DataError: the file is missing, damaged, empty or not UTF-8.
    """
    content = read_bytes(Path(path))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise DataError(
            f"{path}, line {line}, column {column}: byte 0x{content[error.start]:02x} is not UTF-8 text; "
            "get the file again or save it as UTF-8"
        ) from None
    if not text.strip():
        raise DataError(f"{path}, line 1, column 1: the file is empty; get it again")
    return text


def _split(path: Path, delimiter: str | None, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """Yields each row that is not blank, with the number of the line on which it ends."""
    lines = io.StringIO(read_text(path), newline="")
    if delimiter is None:
        yield from ((number, cells) for number, line in enumerate(lines, 1) if (cells := line.split()))
        return
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
    try:
        yield from ((reader.line_num, cells) for cells in reader if cells)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}; correct it or get the file again") from None


def _parser(conversion: Conversion | None, missing: float | None) -> Callable[[str], float]:
    """Returns a parser for the cells of a column. The message of its ValueError is what it expects."""

    def parse(cell: str) -> float:
        if missing is not None and not cell.strip():
            return missing
        if isinstance(conversion, Mapping):
            if cell not in conversion:
                raise ValueError(f"one of {', '.join(conversion)}")
            return conversion[cell]
        try:
            number = float((conversion or float)(cell))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"what is expected there: {error}" if conversion else "a number") from None
        if not math.isfinite(number):
            raise ValueError("a finite number")
        if conversion is None and not _PLAIN(cell):
            raise ValueError("a number in plain digits")
        return number

    return parse


def _describe_error(row: list[str], names: Sequence[str], parsers: Sequence[Callable[[str], float]]) -> str:
    """Describes what is wrong with the first cell that cannot be parsed."""
    for index, (cell, parse) in enumerate(zip(row, parsers, strict=True)):
        try:
            parse(cell)
        except ValueError as expected:
            cell = excerpt(cell)
            return f"{_column_label(index, names)}: '{cell}' is not {expected}; correct it or get the file again"
    raise AssertionError("every cell can be read")


def _column_label(index: int, names: Sequence[str]) -> str:
    return f"column {index + 1}" + (f" '{excerpt(names[index])}'" if names else "")


def _rounded(converted: Tensor, values: Tensor) -> Tensor:
    """Returns where integers differ from the parsed values, or may differ, because float64 rounds from 2^53 on."""
    return (converted.double() != values) | (values.abs() >= 2.0**53)


def _require_columns(path: Path, wanted: Iterable[str], names: Sequence[str]) -> None:
    absent = [name for name in wanted if name not in names]
    if absent:
        there = ", ".join(names) or "columns without names"
        raise DataError(f"{path}, line 1: there is no column '{absent[0]}' among {there}; get the right file")


def _wrong_count(path: Path, line: int, found: int, expected: int, delimiter: str | None) -> str:
    by = "white space" if delimiter is None else repr(delimiter)
    place = f"column {min(found, expected) + 1}"
    return (
        f"{path}, line {line}, {place}: the row has {found} column{'s'[: found != 1]}, expected {expected} separated "
        f"by {by}; correct it or get the file again"
    )
