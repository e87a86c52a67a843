"""Tables as tensors: wines with a score, and hours of bicycle rental as days."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from funcdl import data

from ..lesson import Lesson
from ._sources import Sources


def wines(lesson: Lesson, source: Sources) -> None:
    """A table: columns to mean 0 and deviation 1, the score one-hot, and a threshold as a first classifier."""
    wine, columns = source.wine.values, source.wine.names
    lesson.show_code("wine", wine.shape, "4898 12")
    inputs, score = wine[:, :-1], wine[:, -1].long()
    standardized = (inputs - inputs.mean(0)) / inputs.std(0)
    largest = standardized.mean(0).abs().max(), standardized.std(0).max()
    lesson.show("wine_standard", "standardized: largest |mean|, deviation", largest, "", 2)
    one_hot = torch.zeros(len(score), 10).scatter(1, score[:, None], 1.0)
    lesson.show_code("wine_one_hot", one_hot.shape, "4898 10", preceding=1)
    low, high = source.score_bounds
    lesson.show("wine_bad", f"wines with a score of at most {low}", (score <= low).sum(), "20")
    groups = {"bad": score <= low, "mid": (score > low) & (score < high), "good": score >= high}
    means = {name: inputs[rows].mean(0) for name, rows in groups.items()}
    figures = {"total sulfur dioxide": "170.60 141.83 125.25", "alcohol": "10.34 10.26 11.42"}
    for index, column in enumerate(columns[:-1]):
        each = [means[name][index] for name in groups]
        name, description = f"mean_{column.replace(' ', '_')}", f"mean {column}: bad, mid, good"
        lesson.show(name, description, each, figures.get(column, ""), 5)
    index, middle = columns.index(source.indicator), (low + high) // 2
    threshold = means["mid"][index]
    predicted, actual = inputs[:, index] < threshold, score > middle
    lesson.show("predicted", f"predicted = {source.indicator} < {threshold:.2f}: number of them", predicted.sum())
    lesson.show("actual", f"actual = score > {middle}: number of them", actual.sum())
    matches = lesson.show_code("matches", (predicted & actual).sum())
    lesson.show_code("precision", matches / predicted.sum(), "", 4)
    lesson.show_code("recall", matches / actual.sum(), "", 4)


def bicycles(lesson: Lesson, table: data.Table) -> Float[Tensor, "days columns 24"]:
    """A time series: rows of hours as days, columns and hours, without copying."""
    hours = table.values
    lesson.show_code("hours", (hours.shape, hours.stride()), "17520 17, 17 1")
    days = hours.view(-1, 24, hours.shape[1])
    lesson.show_code("by_day", days.stride(), "408 17 1", preceding=1)
    days = days.transpose(1, 2)
    lesson.show_code("days", days.shape, "730 17 24", preceding=1)
    lesson.show_code("days_stride", days.stride(), "408 1 17")
    weather = days[:, table.names.index("weathersit")].long() - 1
    one_hot = torch.zeros(len(days), 4, 24).scatter(1, weather[:, None], 1.0)
    lesson.show_code("weather", one_hot.shape, "730 4 24", preceding=2)
    lesson.show_code("joined", torch.cat([days, one_hot], 1).shape, "730 21 24")
    temperature = days[:, table.names.index("temp")]
    scaled = (temperature - temperature.min()) / (temperature.max() - temperature.min())
    lesson.show_code("temperature_scaled", (scaled.min(), scaled.max()), "0 1", preceding=2)
    standardized = (temperature - temperature.mean()) / temperature.std()
    lesson.show_code("temperature_standard", (standardized.mean(), standardized.std()), "0 1", 2, preceding=1)
    return days
