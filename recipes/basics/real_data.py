"""Real data as tensors: images, a table, a time series, text and names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from einops import rearrange

from funcdl import train

from .. import settings
from ..lesson import Lesson
from ..settings import Outcome
from . import _pictures, _sources, _tables, _texts
from ._sources import Sources


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
    letters = _texts.text(lesson, source, real)
    if not real:
        lesson.lines = [replace(line, tutorial="") for line in lesson.lines]  # which are about its own files
        lesson.remark(
            "The photographs, wines and text come from scikit-learn, the growers 0, 1 and 2 standing in for a "
            "score; the hours of bicycles are computed by a formula. The tutorial's files: --dataset tutorial."
        )
    _texts.names(lesson)
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
