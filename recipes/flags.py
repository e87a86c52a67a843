"""Flags: the settings of a recipe as they are written on a command line."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from . import helptext
from .settings import SESSION_ONLY, BatchSettings, Settings, SettingsError, flag

S = TypeVar("S", bound=Settings)


def parse(settings_class: type[S], name: str, words: Sequence[str], default: S | None = None) -> S:
    """Returns the settings that the words after a recipe's name say; all else is as in `default`.

    Raises:
        SettingsError: a flag is none of the recipe's, has no value or an impossible one; one sentence that names it.
        SystemExit: help was asked for, and is on stdout.
    """
    prog = f"funcdl run {name}"
    if {"-h", "--help"} & set(words):
        print(helptext.run_page(name, default or settings_class()))
        raise SystemExit(0)
    try:
        values = dict(_values(settings_class, name, words))
    except SettingsError as error:
        raise SettingsError(f"{error}; see {prog} --help") from None
    return dataclasses.replace(default or settings_class(), **values)


def folder(flag: str, text: str, what: str = "folder") -> Path:
    """Returns the folder, or file, that the value of a flag names; a leading ~ is the home folder.

    Raises:
        SettingsError: it names none.
    """
    if not text.strip() or "\0" in text:
        raise SettingsError(f"{flag} '{text}': names no {what}")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise SettingsError(f"{flag} {text}: has the home of a user who is not known here; write it in full") from None


def nearest(word: str, flags: Sequence[str]) -> str:
    """Returns a question for the flag that is most like `word`, or which there are."""
    near = difflib.get_close_matches(word, flags, n=1)
    return f"did you mean {near[0]}?" if near else f"it has {', '.join(flags)}"


def _values(settings_class: type[Settings], name: str, words: Sequence[str]) -> Iterator[tuple[str, Any]]:
    types_of = typing.get_type_hints(settings_class)
    kinds = {field.name: types_of[field.name] for field in dataclasses.fields(settings_class)}
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            raise SettingsError(f"'{word}': is no flag and no flag's value")
        given, assigned, text = word.partition("=")
        setting = given.removeprefix("--").replace("-", "_")
        switch = kinds.get(setting.removeprefix("no_")) is bool
        if setting not in kinds and not switch:
            _refuse(name, given, kinds)
        if switch and assigned:
            raise SettingsError(f"{word}: {given} takes no value")
        if switch:
            yield setting.removeprefix("no_"), not setting.startswith("no_")
            continue
        value = text if assigned else next(rest, None)
        if value is None or (value.startswith("--") and not assigned):
            raise SettingsError(f"{given}: a value is missing")
        yield setting, _converted(given, kinds[setting], value)


def _refuse(name: str, given: str, kinds: dict[str, Any]) -> NoReturn:
    flags = [flag(setting) for setting in sorted(kinds, key=lambda setting: setting in SESSION_ONLY)]
    if given.replace("_", "-") in (flag(field.name) for field in dataclasses.fields(BatchSettings)):
        raise SettingsError(
            f"{given}: '{name}' has no such flag, as it would change nothing; it has {', '.join(flags)}"
        )
    raise SettingsError(f"{given}: '{name}' has no such flag; {nearest(given, flags)}")


def _converted(given: str, kind: Any, text: str) -> Any:
    if kind is not (kind := helptext.without_none(kind)) and text == "None":
        return None
    if words := helptext.choices(kind):
        if text not in words:
            raise SettingsError(f"{given}: invalid choice '{text}'; it is one of {', '.join(words)}")
        return text
    if kind is Path:
        return folder(given, text)
    try:
        return kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise SettingsError(f"{given} '{text}': must be {what}") from None
