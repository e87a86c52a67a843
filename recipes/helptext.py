"""What `funcdl run ID --help` prints: the lesson, and every flag with its kind, its default and what it does."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import itertools
import shutil
import textwrap
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from .settings import Settings, flag

NARROWEST, WIDEST, INDENT = 40, 100, 6
EVERY = ("out", "resume", "json")
KINDS = {int: "WHOLE NUMBER", float: "NUMBER", str: "TEXT", Path: "PATH"}


def run_page(name: str, defaults: Settings) -> str:
    """Returns the help of a recipe, wrapped to the width of the terminal; `defaults` are the settings without flags."""
    parts = [f"usage: funcdl run {name} [FLAG ...]", *paragraphs(inspect.getdoc(type(defaults)) or "")]
    names = [field.name for field in dataclasses.fields(defaults)]
    every = [name for name in names if name in EVERY]
    own = [name for name in inspect.get_annotations(type(defaults)) if name in names]  # they come first
    inherited = [name for name in names if name not in own + every]
    for heading, listed in (("flags of this recipe:", own + inherited), ("flags of every recipe:", every)):
        if listed:
            parts += [heading, "\n".join(_entry(defaults, setting) for setting in listed)]
    return "\n\n".join(parts)


def paragraphs(text: str) -> list[str]:
    """Returns the paragraphs of a text, each wrapped to the width of the terminal."""
    return [_filled(" ".join(part.split())) for part in text.split("\n\n")]


def width() -> int:
    """The columns to fill: those of the terminal, but no line longer than is read with ease."""
    return max(NARROWEST, min(shutil.get_terminal_size().columns, WIDEST))


def without_none(hint: Any) -> Any:
    """Returns the type of a setting without the None that stands for a default.

    >>> without_none(int | None)
    <class 'int'>
    """
    if typing.get_origin(hint) not in (types.UnionType, typing.Union):  # the latter where a Literal is in it
        return hint
    (kind,) = (one for one in typing.get_args(hint) if one is not types.NoneType)
    return kind


def choices(hint: Any) -> list[str]:
    """Returns the words that a flag of such a type takes, where it takes only certain ones.

    >>> choices(Literal["sgd", "adam"] | None)
    ['sgd', 'adam']
    """
    kind = without_none(hint)
    return [str(word) for word in typing.get_args(kind)] if typing.get_origin(kind) is Literal else []


def describe(settings_class: type[Settings], name: str) -> str:
    """Returns the docstring under a setting, on one line."""
    for base in settings_class.__mro__:
        if base is not object and name in (texts := _field_docs(base)):
            return texts[name]
    return ""


def _entry(defaults: Settings, name: str) -> str:
    hint = typing.get_type_hints(type(defaults))[name]
    value, words = getattr(defaults, name), choices(hint)
    text = describe(type(defaults), name)
    head = f"{flag(name)} {'|'.join(words) or KINDS.get(without_none(hint), '')}".rstrip()
    if words and len(head) > NARROWEST:
        head, text = f"{flag(name)} NAME", f"{text} One of {', '.join(words)}."
    known = "" if hint is bool or value is None or value == "" else f" By default {value}."
    return f"  {head}\n{_filled(f'{text}{known}', INDENT)}"


def _filled(text: str, indent: int = 0) -> str:
    space = " " * indent
    return textwrap.fill(
        text, width(), initial_indent=space, subsequent_indent=space, break_on_hyphens=False, break_long_words=False
    )


@functools.lru_cache(maxsize=256)
def _field_docs(settings_class: type) -> dict[str, str]:
    try:
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(settings_class))).body
    except (OSError, TypeError):  # a class without source
        return {}
    return dict(_documented(node.body)) if isinstance(node, ast.ClassDef) else {}


def _documented(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for statement, after in itertools.pairwise(body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            value = after.value if isinstance(after, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield statement.target.id, " ".join(value.value.split())
