"""The source text of an expression that a caller passes to a function: shown, it cannot differ from what was run."""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Iterator
from types import FrameType
from typing import NamedTuple


class _Place(NamedTuple):
    """A call, the statements of its block up to the one it is in, and the `with` around the block, or ""."""

    call: ast.Call
    block: list[ast.stmt]
    context: str


def of_argument(frame: FrameType, function: str, index: int, preceding: int = 0) -> str:
    """Returns the source of an argument of the call of `function` that is running in `frame`, on one line.

    A tuple or a list is without its brackets. The text begins with the name that the result is assigned to, if there is
    one, with the statements above the call that are asked for, and with the `with` statement around it.

    Args:
        frame: of the caller.
        function: the name of the function or method that is called.
        index: of the positional argument.
        preceding: number of statements above the call to include.

    Raises:
        ValueError: the source is not available, or there are several such calls on one line.
    """
    filename, line = frame.f_code.co_filename, frame.f_lineno
    source = "".join(linecache.getlines(filename, frame.f_globals))
    places = [place for place in _places(source, function) if place.call.lineno == line]
    if len(places) != 1:
        found = "no source" if not source else f"{len(places)} calls of {function}()"
        raise ValueError(f"{filename}, line {line}: there must be one call of {function}() to quote, found {found}")
    place = places[0]
    statements = place.block[len(place.block) - 1 - preceding :]
    text = "; ".join(_statement(source, statement, function, index) for statement in statements)
    return place.context + text


@functools.lru_cache(maxsize=32)
def _places(source: str, function: str) -> list[_Place]:
    def visit(node: ast.AST, context: str) -> Iterator[_Place]:
        if isinstance(node, ast.With):
            context = f"with {', '.join(_text(source, item) for item in node.items)}: "
        elif isinstance(node, ast.FunctionDef):
            context = ""
        for block in (getattr(node, name, []) for name in ("body", "orelse", "finalbody")):
            for number, statement in enumerate(block):
                if isinstance(statement, (ast.Expr, ast.Assign)):
                    calls = (call for call in ast.walk(statement) if isinstance(call, ast.Call))
                    found = (call for call in calls if _name(call) == function)
                    yield from (_Place(call, block[: number + 1], context) for call in found)
                else:
                    yield from visit(statement, context)

    return list(visit(ast.parse(source), ""))


def _name(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def _statement(source: str, statement: ast.stmt, function: str, index: int) -> str:
    value = getattr(statement, "value", None)
    if not (isinstance(value, ast.Call) and _name(value) == function):
        return _text(source, statement)
    argument = value.args[index]
    parts = argument.elts if isinstance(argument, (ast.Tuple, ast.List)) and argument.elts else [argument]
    targets = [f"{_text(source, target)} = " for target in getattr(statement, "targets", [])]
    return "".join(targets) + ", ".join(_text(source, part) for part in parts)


def _text(source: str, node: ast.AST) -> str:
    text = None if isinstance(node, ast.withitem) else ast.get_source_segment(source, node)
    return ast.unparse(node) if text is None or "\n" in text else text
