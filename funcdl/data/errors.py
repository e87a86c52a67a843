"""`DataError`, which all data sources raise, and excerpts of text for its messages."""

from __future__ import annotations


class DataError(ValueError):
    """Data are missing, damaged or not as expected; the message says what to do, in one sentence."""


def excerpt(text: str, length: int = 60) -> str:
    """Returns the beginning of a text for an error message, with unprintable characters escaped.

    >>> print(excerpt("a\\tbcdef", 3))
    a\\tb...
    """
    shown = text if len(text) <= length else f"{text[:length]}..."
    return shown if shown.isprintable() else repr(shown)[1:-1]
