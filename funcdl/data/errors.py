"""`DataError`, which all data sources raise, and excerpts of text for its messages."""

from __future__ import annotations


class DataError(ValueError):
    """Data is missing, damaged or not what it should be; the message is one sentence that says what to do."""


def excerpt(text: str, length: int = 60) -> str:
    """Returns the beginning of a text for a message, with everything that is not printable escaped.

    >>> print(excerpt("a\\tbcdef", 3))
    a\\tb...
    """
    shown = text if len(text) <= length else f"{text[:length]}..."
    return shown if shown.isprintable() else repr(shown)[1:-1]
