"""Text as tensors: one-hot letters and words, and names of different lengths."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from funcdl import data

from ..lesson import Lesson
from ._sources import Sources

NAMES = ("Maclean", "Vajnichy", "Nasikovsky", "Usami", "Fionin", "Sharkey", "Balagul", "Pakhrin", "Tansho")
PUNCTUATION = '.,;:"!?”“_-'


def text(lesson: Lesson, source: Sources, real: bool) -> Float[Tensor, "letters 128"]:
    """A line as one-hot letters, and as one-hot words of the vocabulary."""
    line = source.text.split("\n")[source.line]
    lesson.show("line", f"line {source.line}", line)
    codes = [ord(letter) if ord(letter) < 128 else 0 for letter in line.lower().strip()]
    letters = torch.nn.functional.one_hot(torch.tensor(codes), 128).float()
    lesson.show_code("letters", letters.shape, "70 128", preceding=1)
    vocabulary = {word: number for number, word in enumerate(sorted(set(words(source.text))))}
    lesson.show_code("words", len(vocabulary), "7261")
    if real:
        lesson.show("words_unmarked", "the same without the byte order mark", len(set(words(source.text[1:]))))
        lesson.remark(
            "One of the 7261 words is '\\ufeffthe': the file's byte order mark, read as a letter of its first word."
        )
        lesson.show_code("impossible", vocabulary["impossible"], "3394")
    numbers = torch.tensor([vocabulary[word] for word in words(line)])
    figure = "3394 4305 813 3394 7078 3315 415 4436 239 7148 3215"
    lesson.show("numbers", "the numbers of the line's words", numbers, figure)
    one_hot = torch.zeros(len(numbers), len(vocabulary)).scatter(1, numbers[:, None], 1.0)
    lesson.show_code("one_hot_words", one_hot.shape, "11 7261", preceding=1)
    return letters


def words(text: str) -> list[str]:
    """The words of a text in lower case, without the punctuation around them."""
    return [word.strip(PUNCTUATION) for word in text.lower().replace("\n", " ").split()]


def names(lesson: Lesson) -> None:
    """Names of unequal lengths: letters as numbers, padded with 0, the longest first, and packed step by step."""
    padded = data.pad_sequences([[ord(letter) for letter in name] for name in NAMES])
    numbers, lengths = padded["input"], padded["lengths"]
    lesson.show("names", "letters of nine names, padded with 0", numbers)
    lesson.show_code("name_lengths", lengths, "7 8 10 5 6 7 7 7 6")
    order = lengths.argsort(descending=True, stable=True)
    lesson.show_code("name_lengths_sorted", lengths[order], "10 8 7 7 7 7 6 6 5", preceding=1)
    lesson.show_code("names_sorted", numbers[order])
    packed = torch.nn.utils.rnn.pack_padded_sequence(numbers[order], lengths[order], batch_first=True)
    lesson.show_code("packed", packed.batch_sizes, preceding=1)
    lesson.show_code("packed_letters", len(packed.data))
