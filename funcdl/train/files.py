"""Reading and writing the files of a run.

A run's folder may come from someone else. Reads are therefore limited in size, a file that is replaced is replaced as a
whole, and symbolic links are never followed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_JSON_BYTES = 2**26
MAX_DEPTH = 200  # levels of nested JSON; recursion in Python fails at about a thousand
CREATE_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
ADVICE = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room within your quota",
    errno.EACCES: "allow writing there, or choose another folder",
    errno.EPERM: "allow writing there, or choose another folder",
    errno.EROFS: "choose a folder on a disk that can be written",
    errno.EIO: "look after that disk, or choose another folder",
    errno.ELOOP: "remove the symbolic link",
}


class CheckpointError(ValueError):
    """A checkpoint, or another file of a run, is missing or damaged, or it belongs to a different tree."""


class WriteError(OSError):
    """A file of a run cannot be written. What was saved before is kept."""

    @property
    def advice(self) -> str:
        """What the user can do about it."""
        return ADVICE.get(self.errno or 0, "choose another folder")

    def __str__(self) -> str:
        return f"{self.filename}: cannot be written ({self.strerror}); {self.advice}"


@contextlib.contextmanager
def convert_errors(path: Path) -> Iterator[None]:
    """Context manager that turns each `OSError` raised inside it into a `WriteError` for `path`."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(error.errno or 0, error.strerror or str(error), str(path)) from error


def make_folder(path: Path) -> None:
    """Creates a folder and its parents, if they do not exist.

    Raises:
        WriteError: it cannot be created.
    """
    with convert_errors(path):
        path.mkdir(parents=True, exist_ok=True)


def refuse_symlink(folder: Path) -> Path:
    """Returns `folder`, unless it is a symbolic link: a run must not overwrite files outside of its own folder.

    Raises:
        CheckpointError: it is a symbolic link.
    """
    if folder.is_symlink():
        raise CheckpointError(f"{folder}: is a symbolic link; put the folder itself in its place")
    return folder


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file atomically: even after a power cut, it has either its old content or its new content.

    A symbolic link of that name is replaced, not followed.

    Raises:
        WriteError: it cannot be written; the old content is kept.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with convert_errors(path):
        descriptor = _create_or_replace(temporary)
        try:
            try:
                write_all(descriptor, content)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        if os.name == "posix":  # the rename is on disk only after the folder is synced, too
            descriptor = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def append(path: Path, content: bytes) -> None:
    """Appends to a regular file, which is created if needed, and waits until the content is on disk.

    Raises:
        WriteError: it cannot be written, or it is a link, a pipe or a device.
    """
    with convert_errors(path):
        descriptor = _open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def create(path: Path) -> int:
    """Creates a file and returns its descriptor, open for writing.

    Raises:
        WriteError: it cannot be created, or something of that name exists.
    """
    with convert_errors(path):
        return _open(path, CREATE_NEW)


def write_all(descriptor: int, content: bytes) -> None:
    """Writes all of `content`; a single `os.write` may write only a part of it."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read(path: Path, max_bytes: int = MAX_JSON_BYTES) -> bytes:
    """Reads a regular file of at most `max_bytes` bytes.

    Raises:
        CheckpointError: it is a link, a pipe, a device or a folder, or it is larger.
        OSError: it cannot be read.
    """
    try:
        descriptor = _open(path, os.O_RDONLY)
    except OSError:
        if path.is_symlink():
            raise CheckpointError(f"{path}: is a symbolic link; put the file itself in its place") from None
        raise
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise CheckpointError(f"{path}: is not a regular file; put a copy of the run's file in its place")
        if about.st_size > max_bytes:
            raise CheckpointError(
                f"{path}: has {about.st_size} bytes, expected at most {max_bytes}; put a copy of the run's file in its "
                "place"
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(max_bytes)
    finally:
        os.close(descriptor)


def parse(content: bytes) -> Any:
    """Parses JSON.

    Raises:
        ValueError: it is not JSON, or it is nested more than `MAX_DEPTH` levels deep, which no file of a run is.
    """
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for part in level
            if isinstance(part, (dict, list))
            for child in (part.values() if isinstance(part, dict) else part)
        ]
        if not level:
            return value
    raise ValueError("nested too deeply")


def find_mismatch(value: Any, schema: Any, where: str = "") -> str | None:
    """Describes the first place where a JSON value does not match a schema; None if it matches.

    Args:
        value: the parsed JSON.
        schema: a type (`float` also accepts integers), `[schema]` for a list of such values, `{str: schema}` for a
            dict of such values, or a dict with the schema of each required key; further keys are allowed.
        where: the path to `value`.

    >>> find_mismatch({"threads": "2"}, {"threads": int})
    "at 'threads' it has '2', expected a whole number"
    """
    place = f"at {quote(where)}" if where else "at the top"
    if isinstance(schema, type):
        return None if _is_of_type(value, schema) else f"{place} it has {quote(value)}, expected {TYPE_NAMES[schema]}"
    kind = type(schema)
    if not isinstance(value, kind):
        return f"{place} it has {quote(value)}, expected {TYPE_NAMES[kind]}"
    if isinstance(schema, list):
        parts = [(str(index), child, schema[0]) for index, child in enumerate(value)]
    elif str in schema:
        parts = [(name, child, schema[str]) for name, child in value.items()]
    else:
        missing = schema.keys() - value.keys()
        if missing:
            return f"{place} it has no '{min(missing)}'"
        parts = [(name, value[name], child) for name, child in schema.items()]
    mismatches = (find_mismatch(child, of, f"{where}.{name}" if where else name) for name, child, of in parts)
    return next((mismatch for mismatch in mismatches if mismatch), None)


def quote(value: Any) -> str:
    """Formats a value from a file for an error message: short, and without terminal control characters.

    >>> quote("red: \\x1b[31m")
    "'red: \\\\x1b[31m'"
    """
    return printable(ascii(value))


def printable(text: str, max_length: int = 200) -> str:
    """Replaces the unprintable characters of a text, such as terminal control characters, and truncates it."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= max_length else f"{text[: max_length - 4]} ..."


TYPE_NAMES = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "an object",
    list: "a list",
    type(None): "null",
}


def _is_of_type(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        return isinstance(value, float) or (isinstance(value, int) and abs(value) <= sys.float_info.max)
    return isinstance(value, kind) and not (isinstance(value, int) and abs(value) >= 2**64)


def _open(path: Path, flags: int) -> int:
    # O_NONBLOCK, because opening a pipe would wait for its other end. No operating system has all three flags.
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
        flags |= getattr(os, name, 0)
    return os.open(path, flags, 0o666)


def _create_or_replace(path: Path) -> int:
    try:
        return _open(path, CREATE_NEW)
    except FileExistsError:  # left by a killed process, or a link to another file
        path.unlink()
        return _open(path, CREATE_NEW)
