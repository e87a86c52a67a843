"""Text: labeled texts, folding to ASCII, vocabularies, and encoding letters and words as integers."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jaxtyping import Int
from torch import Tensor

from funcdl.data.bucketing import Sequences, pad_sequences

PADDING, UNKNOWN = 0, 1  # the codes of padding, and of words that are not in the vocabulary
SPELLED_OUT = str.maketrans(  # letters that are not a base letter and an accent, and typographic punctuation
    dict(zip("\u00df\u00e6\u00c6\u0153\u0152\u00fe\u00de", ("ss", "ae", "Ae", "oe", "Oe", "th", "Th"), strict=True))
    | dict(zip("\u00f8\u00d8\u0142\u0141\u0111\u0110\u00f0\u00d0\u0131\u2018\u2019\u2013", "oOlLdDdDi''-", strict=True))
)


class LabeledText(NamedTuple):
    """Texts, and the index of the class of each."""

    texts: list[str]
    labels: Int[Tensor, " n"]


class TextSplit(NamedTuple):
    """Labeled texts to train on and to test on, and the names of the classes."""

    train: LabeledText
    test: LabeledText
    classes: tuple[str, ...]


def fold_to_ascii(text: str) -> str:
    """Removes accents and spells out a few letters, such as ß; characters without an ASCII equivalent stay.

    >>> fold_to_ascii("Müller, Dvořák, Strauß, 東")
    'Muller, Dvorak, Strauss, 東'
    """
    decomposed = unicodedata.normalize("NFKD", text.translate(SPELLED_OUT))
    return unicodedata.normalize("NFC", "".join(letter for letter in decomposed if not unicodedata.combining(letter)))


def encode_letters(texts: Sequence[str]) -> Sequences:
    """Encodes texts as the ASCII codes of their letters, padded with 0, for recurrent layers.

    Raises:
        ValueError: a text is empty, or has a letter outside ASCII.

    >>> encode_letters(["Li", "Ada"])
    {'input': tensor([[ 76, 105,   0],
            [ 65, 100,  97]]), 'lengths': tensor([2, 3])}
    """
    for text in texts:
        if not text or not text.isascii():
            raise ValueError(f"encode_letters: expected one or more letters of ASCII, got {text!r}")
    return pad_sequences([text.encode() for text in texts])


def vocabulary(texts: Iterable[str]) -> dict[str, int]:
    """Returns the code of each word in texts, in alphabetical order, from 2 on: 0 is padding, 1 an unknown word.

    >>> vocabulary(["Good film", "a good one"])
    {'a': 2, 'film': 3, 'good': 4, 'one': 5}
    """
    words = sorted({word for text in texts for word in split_words(text)})
    return {word: code for code, word in enumerate(words, UNKNOWN + 1)}


def encode_words(texts: Sequence[str], codes: dict[str, int]) -> Sequences:
    """Encodes texts as the codes of their words, padded with 0, for recurrent layers.

    A text without words is encoded as one unknown word.

    >>> encode_words(["a good film", "superb", ""], {"a": 2, "film": 3, "good": 4})
    {'input': tensor([[2, 4, 3],
            [1, 0, 0],
            [1, 0, 0]]), 'lengths': tensor([3, 1, 1])}
    """
    return pad_sequences([[codes.get(word, UNKNOWN) for word in split_words(text)] or [UNKNOWN] for text in texts])


def split_words(text: str) -> list[str]:
    """Splits a text at white space into words, in lower case.

    >>> split_words("A  Series of escapades .")
    ['a', 'series', 'of', 'escapades', '.']
    """
    return text.lower().split()
