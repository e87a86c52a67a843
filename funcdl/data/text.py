"""What text shares: how a source hands it over, and the numbers of letters and words."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jaxtyping import Int
from torch import Tensor

from funcdl.data.lengths import Sequences, pad

PADDING, UNKNOWN = 0, 1  # the numbers of no word, and of a word that is not in the vocabulary
SPELT_OUT = str.maketrans(  # what no accent can be taken off, and the punctuation of typesetters
    dict(zip("\u00df\u00e6\u00c6\u0153\u0152\u00fe\u00de", ("ss", "ae", "Ae", "oe", "Oe", "th", "Th"), strict=True))
    | dict(zip("\u00f8\u00d8\u0142\u0141\u0111\u0110\u00f0\u00d0\u0131\u2018\u2019\u2013", "oOlLdDdDi''-", strict=True))
)


class LabelledText(NamedTuple):
    """Texts, and the number of the class of each."""

    texts: list[str]
    labels: Int[Tensor, " n"]


class TextSplit(NamedTuple):
    """Labelled text in two parts, and the names of the classes."""

    train: LabelledText
    test: LabelledText
    classes: tuple[str, ...]


def fold_to_ascii(text: str) -> str:
    """Returns text with its accents taken off, and a few letters spelt out; what has no letter of ASCII stays.

    >>> fold_to_ascii("Müller, Dvořák, Strauß, 東")
    'Muller, Dvorak, Strauss, 東'
    """
    decomposed = unicodedata.normalize("NFKD", text.translate(SPELT_OUT))
    return unicodedata.normalize("NFC", "".join(letter for letter in decomposed if not unicodedata.combining(letter)))


def letter_numbers(texts: Sequence[str]) -> Sequences:
    """Returns texts as the ASCII codes of their letters, padded by 0, as recurrent layers take them.

    Raises:
        ValueError: a text is empty, or has a letter outside ASCII.

    >>> letter_numbers(["Li", "Ada"])
    {'input': tensor([[ 76, 105,   0],
            [ 65, 100,  97]]), 'lengths': tensor([2, 3])}
    """
    for text in texts:
        if not text or not text.isascii():
            raise ValueError(f"letter_numbers: expected one or more letters of ASCII, got {text!r}")
    return pad([text.encode() for text in texts])


def vocabulary(texts: Iterable[str]) -> dict[str, int]:
    """Returns the numbers of the words in texts, in alphabetical order: from 2, as 0 is the padding and 1 unknown.

    >>> vocabulary(["Good film", "a good one"])
    {'a': 2, 'film': 3, 'good': 4, 'one': 5}
    """
    words = sorted({word for text in texts for word in split_words(text)})
    return {word: number for number, word in enumerate(words, UNKNOWN + 1)}


def word_numbers(texts: Sequence[str], numbers: dict[str, int]) -> Sequences:
    """Returns texts as the numbers of their words, padded by 0, as recurrent layers take them.

    A text without a word is one unknown word.

    >>> word_numbers(["a good film", "superb", ""], {"a": 2, "film": 3, "good": 4})
    {'input': tensor([[2, 4, 3],
            [1, 0, 0],
            [1, 0, 0]]), 'lengths': tensor([3, 1, 1])}
    """
    return pad([[numbers.get(word, UNKNOWN) for word in split_words(text)] or [UNKNOWN] for text in texts])


def split_words(text: str) -> list[str]:
    """Returns the words of a text, in lower case: what lies between white space.

    >>> split_words("A  Series of escapades .")
    ['a', 'series', 'of', 'escapades', '.']
    """
    return text.lower().split()
