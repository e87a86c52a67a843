"""Tables as tensors: wines with a score, and hours of bicycle hire seen day by day."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from funcdl import data

from ..lesson import Lesson
from .hours import HOURS
from .sources import Sources


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
    days = hours.view(-1, HOURS, hours.shape[1])
    lesson.show("by_day", "days = hours.view(-1, 24, columns): stride", days.stride(), "408 17 1")
    days = days.transpose(1, 2)
    lesson.show("days", "days = days.transpose(1, 2): shape", days.shape, "730 17 24")
    lesson.show("days_stride", "its stride", days.stride(), "408 1 17")
    weather = days[:, table.names.index("weathersit")].long() - 1
    one_hot = torch.zeros(len(days), 4, HOURS).scatter(1, weather[:, None], 1.0)
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
