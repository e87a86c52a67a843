"""The files of a run, whose folder may be a stranger's: read within bounds, written whole, and never through a link."""

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

JSON_BYTES = 2**26
DEPTH = 200  # of nested JSON; Python's own functions give up at a thousand
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
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
    """A checkpoint, or another file of a run, is missing, damaged, or not of the tree that was asked for."""


class WriteError(OSError):
    """A file of a run cannot be written; what was saved before is kept."""

    @property
    def advice(self) -> str:
        """What to do about it."""
        return ADVICE.get(self.errno or 0, "choose another folder")

    def __str__(self) -> str:
        return f"{self.filename}: cannot be written ({self.strerror}); {self.advice}"


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Errors of the operating system inside become those of writing `path`."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(error.errno or 0, error.strerror or str(error), str(path)) from error


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, where there is none.

    Raises:
        WriteError: it cannot be made.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def own(folder: Path) -> Path:
    """Returns a folder inside a run's, which must be no link: what it leads to is not to be written over.

    Raises:
        CheckpointError: it is one.
    """
    if folder.is_symlink():
        raise CheckpointError(f"{folder}: is a symbolic link; put the folder itself in its place")
    return folder


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that under its name there is always the old content or the new, also after a power cut.

    A symbolic link of that name is replaced, not followed.

    Raises:
        WriteError: it cannot be written; the old content is still there.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path):
        descriptor = _create_anew(temporary)
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
        if os.name == "posix":  # the new name, too, has to reach the disk
            descriptor = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def append(path: Path, content: bytes) -> None:
    """Writes at the end of a regular file, which is made if need be, and waits until it has reached the disk.

    Raises:
        WriteError: it cannot be written, or is a link, a pipe or a device.
    """
    with writing(path):
        descriptor = _open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def create(path: Path) -> int:
    """Returns the descriptor of a new file to write to; there must be nothing of that name."""
    with writing(path):
        return _open(path, NEW)


def write_all(descriptor: int, content: bytes) -> None:
    """Writes all of `content`, also where the system takes a part at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read(path: Path, most: int = JSON_BYTES) -> bytes:
    """Reads a regular file of at most so many bytes.

    Raises:
        CheckpointError: it is a link, a pipe, a device or a folder, or larger.
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
            raise CheckpointError(f"{path}: is not a regular file; put a copy of the run's own in its place")
        if about.st_size > most:
            raise CheckpointError(f"{path}: has {about.st_size} bytes, expected at most {most}; it is not a run's")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(descriptor)


def parse(content: bytes) -> Any:
    """Returns what JSON says.

    Raises:
        ValueError: it is not JSON, or nested more deeply than anything of a run.
    """
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level = [value]
    for _ in range(DEPTH):
        level = [
            child
            for part in level
            if isinstance(part, (dict, list))
            for child in (part.values() if isinstance(part, dict) else part)
        ]
        if not level:
            return value
    raise ValueError("nested too deeply")


def difference(value: Any, description: Any, where: str = "") -> str | None:
    """The first place where JSON is not as described, in words, or None.

    Args:
        value: what was read.
        description: a type (`float` is any number that a float holds), `[d]` for a list of such, `{str: d}` for a dict
            of such, or a dict of what each name has; other names may be there too.
        where: the path to `value`.

    >>> difference({"threads": "2"}, {"threads": int})
    "at 'threads' it has '2', expected a whole number"
    """
    place = f"at {shown(where)}" if where else "at the top"
    if isinstance(description, type):
        return None if _is(value, description) else f"{place} it has {shown(value)}, expected {NAMES[description]}"
    kind = type(description)
    if not isinstance(value, kind):
        return f"{place} it has {shown(value)}, expected {NAMES[kind]}"
    if isinstance(description, list):
        parts = [(str(index), child, description[0]) for index, child in enumerate(value)]
    elif str in description:
        parts = [(name, child, description[str]) for name, child in value.items()]
    else:
        missing = description.keys() - value.keys()
        if missing:
            return f"{place} it has no '{min(missing)}'"
        parts = [(name, value[name], child) for name, child in description.items()]
    found = (difference(child, of, f"{where}.{name}" if where else name) for name, child, of in parts)
    return next((words for words in found if words), None)


def shown(value: Any) -> str:
    """What a file says as it can be quoted: short, and without what a terminal would obey.

    >>> shown("red: \\x1b[31m")
    "'red: \\\\x1b[31m'"
    """
    return clean(ascii(value))


def clean(text: str, most: int = 200) -> str:
    """A text that has parts of a file, cut to `most` characters, and without what a terminal would obey."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= most else f"{text[: most - 4]} ..."


NAMES = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "an object",
    list: "a list",
    type(None): "null",
}


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        return isinstance(value, float) or (isinstance(value, int) and abs(value) <= sys.float_info.max)
    return isinstance(value, kind) and not (isinstance(value, int) and abs(value) >= 2**64)


def _open(path: Path, flags: int) -> int:
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):  # not every system has all; a pipe must not be waited for
        flags |= getattr(os, name, 0)
    return os.open(path, flags, 0o666)


def _create_anew(path: Path) -> int:
    try:
        return _open(path, NEW)
    except FileExistsError:  # a killed process's, or a stranger's link to another file
        path.unlink()
        return _open(path, NEW)
