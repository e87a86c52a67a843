"""Real data as tensors: images, a table, a time series, text and names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from funcdl import data, train
from recipes import pictures, runtime, settings
from recipes.basics import sources
from recipes.basics.sources import Sources
from recipes.lesson import Lesson
from recipes.settings import Outcome

NAMES = ("Maclean", "Vajnichy", "Nasikovsky", "Usami", "Fionin", "Sharkey", "Balagul", "Pakhrin", "Tansho")
PUNCTUATION = '.,;:"!?”“_-'


@dataclass(frozen=True, kw_only=True)
class Settings(settings.Settings):
    """Turn images, a table of wines, hours of bicycle hire, a text and names into tensors a network can take.

    Images get their channels first and each channel mean 0 and deviation 1; classes become one-hot columns; a table
    by the hour becomes (days, columns, 24) without a copy; letters and words become numbers, or one-hot rows. All of
    it happens on the CPU, where data is prepared.
    """

    dataset: Literal["sample", "tutorial"] = "sample"
    """sample: two photographs, 178 wines and their description from scikit-learn, and 28 made-up days of bicycles;
    tutorial: the files of *Deep Learning with PyTorch*, chapter 4, from images/, wine/, bikes/, text/ of --data-dir."""


def run(settings: Settings, report: train.Report) -> Outcome:
    """Shows each kind of data step by step, and pictures of it."""
    runtime.choose_device(settings.device)
    real = settings.dataset == "tutorial"
    lesson = Lesson()
    source = sources.tutorial(settings.data_dir) if real else sources.sample()
    images(lesson, source)
    wines(lesson, source)
    days = bicycles(lesson, source.bikes)
    letters = text(lesson, source, real)
    if not real:
        lesson.lines = [replace(line, tutorial="") for line in lesson.lines]  # which are about its own files
        lesson.remark(
            "The photographs, wines and text come from scikit-learn, the growers 0, 1 and 2 standing in for a "
            "score; the hours of bicycles are made up by a formula. The tutorial's files: --dataset tutorial."
        )
    names(lesson)
    report.picture("channels", _channels(source.image))
    report.picture("day", _day(days, source.bikes))
    report.picture("letters", _letters(letters, source.text.split("\n")[source.line]))
    return Outcome(lesson.metrics, lesson=lesson)


def images(lesson: Lesson, source: Sources) -> None:
    """Channels first, and each of them to mean 0 and deviation 1."""
    image = source.image
    pixels = image.permute(1, 2, 0)
    lesson.show("image_pixels", "image as its file has it", pixels.shape, "720 1280 3")
    lesson.show("image", "pixels.permute(2, 0, 1), the channels first", pixels.permute(2, 0, 1).shape, "3 720 1280")
    batch = source.batch.float() / 255
    lesson.show("batch", "batch = three images / 255", batch.shape, "3 3 256 256")
    mean, deviation = batch.mean((0, 2, 3), keepdim=True), batch.std((0, 2, 3), keepdim=True)
    standard = (batch - mean) / deviation
    lesson.show("channel_means", "its channels' means", mean.flatten())
    lesson.show("standard_means", "(batch - mean) / deviation: means", standard.mean((0, 2, 3)), "0 each", 2)
    lesson.show("standard_deviations", "and deviations", standard.std((0, 2, 3)), "1 each")


def wines(lesson: Lesson, source: Sources) -> None:
    """A table: columns to mean 0 and deviation 1, the score one-hot, and a threshold as a first classifier."""
    values, columns = source.wine.values, source.wine.names
    lesson.show("wine", "wine.shape", values.shape, "4898 12")
    inputs, score = values[:, :-1], values[:, -1].long()
    standard = (inputs - inputs.mean(0)) / inputs.std(0)
    lesson.show(
        "wine_standard",
        "standardised: largest |mean|, deviation",
        [standard.mean(0).abs().max(), standard.std(0).max()],
        "",
        2,
    )
    one_hot = torch.zeros(len(score), 10).scatter(1, score[:, None], 1.0)
    lesson.show("wine_one_hot", "torch.zeros(n, 10).scatter(1, score[:, None], 1)", one_hot.shape, "4898 10")
    low, high = source.score_bounds
    lesson.show("wine_bad", f"(score <= {low}).sum()", (score <= low).sum(), "20")
    groups = {"bad": score <= low, "mid": (score > low) & (score < high), "good": score >= high}
    means = {name: inputs[rows].mean(0) for name, rows in groups.items()}
    figures = {"total sulfur dioxide": "170.60 141.83 125.25", "alcohol": "10.34 10.26 11.42"}
    for index, column in enumerate(columns[:-1]):
        each = [means[name][index] for name in groups]
        lesson.show(
            f"mean_{column.replace(' ', '_')}", f"mean {column}: bad, mid, good", each, figures.get(column, ""), 5
        )
    index, middle = columns.index(source.indicator), (low + high) // 2
    threshold = means["mid"][index]
    predicted, actual = inputs[:, index] < threshold, score > middle
    matches = (predicted & actual).sum()
    lesson.show("predicted", f"predicted = {source.indicator} < {threshold:.2f}: how many", predicted.sum())
    lesson.show("actual", f"actual = score > {middle}: how many", actual.sum())
    lesson.show("matches", "(predicted & actual).sum()", matches)
    lesson.show("precision", "matches / predicted", matches / predicted.sum(), "", 4)
    lesson.show("recall", "matches / actual", matches / actual.sum(), "", 4)


def bicycles(lesson: Lesson, table: data.Table) -> Float[Tensor, "days columns 24"]:
    """A time series: a row per hour seen as days, columns and hours, without moving a number."""
    hours = table.values
    lesson.show("hours", "hours.shape, hours.stride()", [list(hours.shape), list(hours.stride())], "17520 17, 17 1")
    days = hours.view(-1, sources.HOURS, hours.shape[1])
    lesson.show("by_day", "days = hours.view(-1, 24, columns): stride", days.stride(), "408 17 1")
    days = days.transpose(1, 2)
    lesson.show("days", "days = days.transpose(1, 2): shape", days.shape, "730 17 24")
    lesson.show("days_stride", "its stride", days.stride(), "408 1 17")
    weather = days[:, table.names.index("weathersit")].long() - 1
    one_hot = torch.zeros(len(days), 4, sources.HOURS).scatter(1, weather[:, None], 1.0)
    lesson.show("weather", "one-hot weather", one_hot.shape, "730 4 24")
    joined = torch.cat([days, one_hot], 1)
    lesson.show("joined", "torch.cat([days, one_hot], 1)", joined.shape, "730 21 24")
    warmth = days[:, table.names.index("temp")]
    scaled = (warmth - warmth.min()) / (warmth.max() - warmth.min())
    lesson.show("temperature_scaled", "temperature, least to greatest: range", [scaled.min(), scaled.max()], "0 1")
    standard = (warmth - warmth.mean()) / warmth.std()
    lesson.show(
        "temperature_standard", "(temperature - mean) / deviation: both", [standard.mean(), standard.std()], "0 1", 2
    )
    return days


def text(lesson: Lesson, source: Sources, real: bool) -> Float[Tensor, "letters 128"]:
    """A line as one-hot letters, and as one-hot words of the vocabulary."""
    line = source.text.split("\n")[source.line]
    codes = [ord(letter) if ord(letter) < 128 else 0 for letter in line.lower().strip()]
    letters = torch.nn.functional.one_hot(torch.tensor(codes), 128).float()
    lesson.show("line", f"line {source.line}", line)
    lesson.show("letters", "one-hot letters of the line", letters.shape, "70 128")
    vocabulary = {word: number for number, word in enumerate(sorted(set(words(source.text))))}
    lesson.show("words", "len(vocabulary)", len(vocabulary), "7261")
    if real:
        lesson.show("words_unmarked", "the same without the byte order mark", len(set(words(source.text[1:]))))
        lesson.remark(
            "One of the 7261 words is '\\ufeffthe': the file's byte order mark, read as a letter of its first word."
        )
        lesson.show("impossible", 'vocabulary["impossible"]', vocabulary["impossible"], "3394")
    numbers = torch.tensor([vocabulary[word] for word in words(line)])
    figure = "3394 4305 813 3394 7078 3315 415 4436 239 7148 3215"
    lesson.show("numbers", "the numbers of the line's words", numbers, figure)
    one_hot = torch.zeros(len(numbers), len(vocabulary)).scatter(1, numbers[:, None], 1.0)
    lesson.show("one_hot_words", "one-hot words of the line", one_hot.shape, "11 7261")
    return letters


def words(text: str) -> list[str]:
    """The words of a text in lower case, without the punctuation around them."""
    return [word.strip(PUNCTUATION) for word in text.lower().replace("\n", " ").split()]


def names(lesson: Lesson) -> None:
    """Names of unequal lengths: letters as numbers, filled up with 0, the longest first, and packed step by step."""
    padded = data.pad([[ord(letter) for letter in name] for name in NAMES])
    numbers, lengths = padded["input"], padded["lengths"]
    lesson.show("names", "letters of nine names, filled up with 0", numbers)
    order = lengths.argsort(descending=True, stable=True)
    lesson.show("name_lengths", "lengths", lengths, "7 8 10 5 6 7 7 7 6")
    lesson.show("name_lengths_sorted", "the longest first", lengths[order], "10 8 7 7 7 7 6 6 5")
    lesson.show("names_sorted", "the names in this order", numbers[order])
    packed = torch.nn.utils.rnn.pack_padded_sequence(numbers[order], lengths[order], batch_first=True)
    lesson.show("packed", "packed: names that have a first, second, ... letter", packed.batch_sizes)
    lesson.show("packed_letters", "packed: letters in all", len(packed.data))


def _channels(image: Tensor) -> Figure:
    figure = Figure(figsize=(10, 2.6), layout="constrained")
    panels = figure.subplots(1, 4)
    panels[0].imshow(image.permute(1, 2, 0).numpy())
    panels[0].set_title("image")
    for axes, channel, name in zip(panels[1:], image, ("red", "green", "blue"), strict=False):
        axes.imshow(channel.numpy(), cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"{name} channel")
    for axes in panels:
        axes.set(xticks=[], yticks=[])
    figure.suptitle(f"{image.shape[2]} x {image.shape[1]} pixels, bright where there is much of a colour")
    return figure


def _day(days: Float[Tensor, "days columns 24"], table: data.Table) -> Figure:
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    counts = figure.subplots()
    rides, warmth = (days[0, table.names.index(name)].tolist() for name in ("cnt", "temp"))
    counts.bar(range(24), rides, color=pictures.BLUE, label="bicycles")
    counts.set(xlabel="hour of the day", ylabel="bicycles hired", title="the first day", xticks=range(0, 24, 3))
    temperature = counts.twinx()
    temperature.plot(range(24), warmth, "o-", color=pictures.ORANGE, markersize=4, label="temperature")
    temperature.set(ylabel="temperature (of the greatest)", ylim=(0, 1))
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _letters(letters: Float[Tensor, "letters 128"], line: str) -> Figure:
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots()
    place, code = letters.nonzero().T
    axes.scatter(place.tolist(), code.tolist(), marker="s", s=12, color=pictures.BLUE)
    axes.set(xlabel="letter of the line", ylabel="its number, where the row has a 1", ylim=(127, -1))
    axes.set_xticks(range(len(letters)), list(line.strip()), fontsize=7, family="monospace")
    axes.set_title(f"one-hot letters, {len(letters)} x 128: a 1 in each column, 0 elsewhere")
    axes.grid(alpha=0.2)
    return figure
