"""Real data as tensors: images, a table, a time series, text and names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from funcdl import data, train

from .. import settings
from ..lesson import Lesson
from ..settings import Outcome
from . import _pictures, _sources, _tables
from ._sources import Sources

NAMES = ("Maclean", "Vajnichy", "Nasikovsky", "Usami", "Fionin", "Sharkey", "Balagul", "Pakhrin", "Tansho")
PUNCTUATION = '.,;:"!?”“_-'


@dataclass(frozen=True, kw_only=True)
class Settings(settings.DataSettings):
    """Turn images, a table of wines, hours of bicycle rental, a text and names into tensors a network can take.

    Images get their channels first and each channel mean 0 and deviation 1; classes become one-hot columns; a table
    by the hour becomes (days, columns, 24) without a copy; letters and words become numbers, or one-hot rows. All of
    it happens on the CPU, where data is prepared.
    """

    dataset: Literal["sample", "tutorial"] = "sample"
    """sample: two photographs, 178 wines and their description from scikit-learn, and 28 synthetic days of bicycles;
    tutorial: the files of *Deep Learning with PyTorch*, chapter 4, from images/, wine/, bikes/, text/ of --data-dir."""


def run(settings: Settings, report: train.Report) -> Outcome:
    """Shows each kind of data step by step, and pictures of it."""
    real = settings.dataset == "tutorial"
    lesson = Lesson()
    source = _sources.tutorial(settings.data_dir) if real else _sources.sample()
    images(lesson, source)
    _tables.wines(lesson, source)
    days = _tables.bicycles(lesson, source.bikes)
    letters = text(lesson, source, real)
    if not real:
        lesson.lines = [replace(line, tutorial="") for line in lesson.lines]  # which are about its own files
        lesson.remark(
            "The photographs, wines and text come from scikit-learn, the growers 0, 1 and 2 standing in for a "
            "score; the hours of bicycles are computed by a formula. The tutorial's files: --dataset tutorial."
        )
    names(lesson)
    report.picture("channels", _pictures.channels(source.image))
    report.picture("day", _pictures.first_day(days, source.bikes))
    report.picture("letters", _pictures.one_hot_letters(letters, source.text.split("\n")[source.line]))
    return Outcome(lesson.metrics, lesson=lesson)


def images(lesson: Lesson, source: Sources) -> None:
    """Channels first, and each of them to mean 0 and deviation 1."""
    image = source.image
    pixels = rearrange(image, "channels height width -> height width channels")
    lesson.show("image_pixels", "pixels.shape, as in the file", pixels.shape, "720 1280 3")
    channels_first = rearrange(pixels, "height width channels -> channels height width")
    lesson.show_code("image", channels_first.shape, "3 720 1280", preceding=1)
    batch = source.batch.float() / 255
    lesson.show("batch", "three images / 255: shape", batch.shape, "3 3 256 256")
    mean, deviation = batch.mean((0, 2, 3), keepdim=True), batch.std((0, 2, 3), keepdim=True)
    lesson.show_code("channel_means", mean.flatten(), preceding=1)
    standardized = (batch - mean) / deviation
    lesson.show_code("standard_means", standardized.mean((0, 2, 3)), "0 each", 2, preceding=1)
    lesson.show_code("standard_deviations", standardized.std((0, 2, 3)), "1 each")


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
