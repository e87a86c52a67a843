"""The tables of a run on the terminal: nothing in them is cut, whatever its width is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from . import summary
from .lesson import Line
from .summary import Row, Summary
from .terminal import escaped

if TYPE_CHECKING:
    from rich.console import Console

HEADS = ("expression", "result", "tutorial")
BORDER = 3  # columns of the terminal that a column of a table has besides its text
PARTS = re.compile(r"\s*(?:\d\.\d|\(\)|[^,.(\[_=/])*[,.(\[_=/]*")  # of a long word
LEAST = 8  # columns of a cell, so that numbers stay in one piece
SHARES = (0.38, 0.4)  # of a narrow table that expressions and results get at least, where they need it


def print_summary(found: Summary) -> None:
    """Prints the tables of a run, its remarks, and where the rest is."""
    from rich.console import Console

    console, result = Console(), found.result
    title = summary.title(result)
    _print_rows(console, title, found.rows)
    if found.lines:
        _print_lines(console, title, found.lines)
    for remark in found.remarks:
        print(wrapped(f"- {remark}", console.width - 1))
    print(f"{result['seconds']} s on {result['device']}, {'compiled' if result['compiled'] else 'not compiled'}")


def print_columns(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table whose first column names the rows, as several tables if they do not fit side by side."""
    from rich.console import Console

    _print_columns(Console(), title, heads, rows)


def wrapped(text: str, width: int) -> str:
    r"""Returns `text` in lines of `width` characters, a line that goes on being indented; code is broken between words.

    >>> print(wrapped("noise = random.normal(normal_key, ones.shape)", 24))
    noise =
      random.normal(
      normal_key, ones.shape)
    """
    return "\n".join(piece for line in text.split("\n") for piece in _pieces(escaped(line), width))


def _pieces(line: str, width: int) -> Iterator[str]:
    indent = "  " if width >= 2 * LEAST else ""
    current = ""
    for word in re.findall(r"\s*\S+", line):
        fits = len(indent + word.strip()) <= width  # else it is broken where code may be
        for part in [word] if fits else PARTS.findall(word):
            if current.strip() and len(current + part) > width:
                yield current.rstrip()
                current, part = indent, part.lstrip()
            current += part
            while len(current) > width:
                yield current[:width]
                current = indent + current[width:]
    if current.strip() or not line:
        yield current


def _print_rows(console: Console, title: str, rows: Sequence[Row]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    if rows:
        texts = [summary.measured(row) for row in rows]
        _print_columns(console, title, names, [[text.get(name, "") for name in names] for text in texts])


def _print_columns(console: Console, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    longest = console.width // 2 - BORDER  # of a cell
    columns = [[wrapped(cell, longest) for cell in cells] for cells in zip(*rows, strict=True)]
    values = [max(map(_width, cells)) for cells in columns]
    widths = [max(value, min(longest, len(escaped(head)))) for head, value in zip(heads, values, strict=True)]
    if BORDER * len(heads) + sum(widths) >= console.width:  # long heads in several lines
        widths = [max(value, min(longest, _longest_word(head))) for head, value in zip(heads, values, strict=True)]
    for chosen in _side_by_side(widths, console.width - 1):
        table = Table(title=title)
        for index in chosen:
            head = Text(wrapped(heads[index], widths[index]))
            table.add_column(head, justify="right" if index else "left", width=widths[index])
        for cells in zip(*[columns[index] for index in chosen], strict=True):
            table.add_row(*map(Text, cells))
        console.print(table)


def _side_by_side(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Groups of columns that fit side by side, each with the first."""
    chosen = [0]
    for index in range(1, len(widths)):
        if len(chosen) > 1 and sum(widths[one] + BORDER for one in [*chosen, index]) > room:
            yield chosen
            chosen = [0]
        chosen.append(index)
    yield chosen


def _width(text: str) -> int:
    return max(map(len, text.split("\n")))


def _longest_word(text: str) -> int:
    return max(len(part.strip()) for part in PARTS.findall(escaped(text)))


def _print_lines(console: Console, title: str, lines: Sequence[Line]) -> None:
    from rich.table import Table
    from rich.text import Text

    rows = [(line.expression, line.result, line.tutorial) for line in lines]
    widths = _widths([HEADS, *rows], console.width - 1 - BORDER * len(HEADS))
    cells = [[wrapped(cell, width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    table = Table(title=title, show_lines=any("\n" in cell for row in cells for cell in row))
    for name, width in zip(HEADS, widths, strict=True):
        table.add_column(name, width=width)
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


def _widths(rows: Sequence[Sequence[str]], room: int) -> list[int]:
    """The widths of three columns: what they need, or a share of the room."""
    needed = [max(_width(_in_lines(row[column])) for row in rows) for column in range(3)]
    if sum(needed) <= room:
        return needed
    least = [min(needed[column], int(share * room)) for column, share in enumerate(SHARES)]
    third = min(needed[2], max(LEAST, room - sum(least)))
    second = min(needed[1], max(least[1], room - third - needed[0]))
    return [max(LEAST, room - second - third), second, third]


def _in_lines(text: str) -> str:
    """`text` escaped but for its ends of lines, as a cell of a table may have."""
    return "\n".join(map(escaped, text.split("\n")))
