"""What goes to the terminal: text that cannot command it, on streams of any encoding, also where nobody listens."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any

LONGEST = 10_000
PLAIN = {"…": "...", "─": "-", "━": "-", "│": "|", "┃": "|", "²": "^2", "“": '"', "”": '"'}
PLAIN |= dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼┏┓┗┛┡┩┳┻╇", "+")


def escaped(text: str) -> str:
    r"""Returns `text` with all that a terminal would obey, or not show, as escapes: names and cells may hold anything.

    >>> print(escaped("caf\u00e9 \x1b[2J\n\u202e"))
    café \x1b[2J\n\u202e
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or unicodedata.category(one) == "Zs" else one.encode("unicode_escape").decode()
        for one in text
    )


def sentence(text: str) -> str:
    """Returns a message as one line of `LONGEST` characters at most: what it cites may have many more.

    >>> sentence("there is no file 'a\\x1b'")
    "there is no file 'a\\\\x1b'"
    """
    text = escaped(text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2 - 3]} ... {text[-(LONGEST // 2 - 2) :]}"


def approximated(error: UnicodeError) -> tuple[str, int]:
    """Writes what an encoding lacks in ASCII: a handler of errors, as `codecs.register_error` wants them."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(PLAIN.get(one) or one.encode("unicode_escape").decode() for one in missing), error.end


codecs.register_error("approximated", approximated)


@contextlib.contextmanager
def writable() -> Iterator[None]:
    """Makes `sys.stdout` and `sys.stderr` take any text, and nothing where they are closed, while it lasts."""
    with contextlib.ExitStack() as stack:
        for name in ("stdout", "stderr"):
            stream: Any = getattr(sys, name)
            if stream is None:
                setattr(sys, name, stack.enter_context(open(os.devnull, "w")))  # noqa: PTH123 (it is no file)
                stack.callback(setattr, sys, name, None)
            elif isinstance(stream, io.TextIOWrapper) and stream.errors != "approximated":
                stack.callback(stream.reconfigure, errors=stream.errors)
                stream.reconfigure(errors="approximated")
        yield


def open_streams() -> None:
    """Prepares the streams of this process: closed ones write to nowhere, as do those whose reader is gone."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: no file of the run may get it
    sys.stdout, sys.stderr = (_patient(stream, number) for number, stream in ((1, sys.stdout), (2, sys.stderr)))


def lost() -> OSError | None:
    """Returns the error by which `sys.stdout` has lost what was printed, unless its reader or its terminal is gone."""
    return getattr(getattr(sys.stdout.buffer, "raw", None), "lost", None)


class _Patient(io.FileIO):
    """A stream that cannot stop a run: what it cannot write is lost, as when its reader goes away."""

    lost: OSError | None = None

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                self.lost = error
            return memoryview(data).nbytes


def _patient(stream: Any, number: int) -> Any:
    if stream is None:
        number = os.open(os.devnull, os.O_WRONLY)  # its own may have become another file's
        encoding, line_buffering = "utf-8", False
    elif isinstance(getattr(stream.buffer, "raw", stream.buffer), io.FileIO):
        encoding, line_buffering = stream.encoding, stream.line_buffering or stream.write_through
    else:  # a console of Windows
        return stream
    buffer = io.BufferedWriter(_Patient(number, "w", closefd=False))
    return io.TextIOWrapper(buffer, encoding, errors="approximated", line_buffering=line_buffering)
