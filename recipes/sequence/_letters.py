"""The recurrent networks that spell a word, and how what they say becomes letters again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from funcdl import models, nn
from funcdl.train.report import Row

from .. import members, pictures
from ..axes import heading, legend_below, logarithmic, whole_numbers

Variant = Literal["rnn-cell", "rnn", "embedding", "lstm", "gru", "hihell"]
RATES = {"rnn": 0.05, "embedding": 0.05}  # the others 0.1
EPOCHS = {"rnn-cell": 15, "rnn": 15, "embedding": 15}  # the others 100
BOUNDED = ("rnn-cell", "rnn", "hihell")  # a tanh is the last that they compute


def make_model(variant: Variant) -> nn.Layer:
    """Letters (1, time) in, logits (1, time, letters) out, with the lecture's sizes."""
    if variant == "embedding":
        return models.letter_model("rnn", 4, 10, 8, num_layers=2)
    if variant in ("lstm", "gru"):
        return models.letter_model("lstm" if variant == "lstm" else "gru", 4, 4, 4)
    letters = 5 if variant == "hihell" else 4
    if variant == "rnn-cell":
        states = models.unrolled(nn.rnn_cell(letters))
    else:
        states = nn.serial(rnn=nn.rnn(letters, batch_first=True), outputs=lambda results: results[0])
    return nn.serial(one_hot=lambda word: F.one_hot(word, letters).float(), states=states)


def spell(logits: Tensor, letters: str) -> list[str]:
    """The word of each network by its logits (1, networks, time, letters)."""
    return ["".join(letters[number] for number in one) for one in logits.argmax(-1)[0].tolist()]


def picture(rows: Sequence[Row], title: str) -> Figure:
    """The loss by epoch: the mean of the networks, and from the lowest to the highest of them."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    heading(figure, title)
    axes = figure.subplots()
    numbers = [[row[name] for row in rows] for name in ("lowest_loss", "loss", "highest_loss")]
    members.spread(axes, [row["epoch"] for row in rows], numbers, "mean, and lowest to highest", pictures.BLUE, "-")
    axes.set_ylabel("loss")
    logarithmic(axes)
    whole_numbers(axes, "epoch", len(rows))
    axes.grid(alpha=0.3)
    legend_below(figure)
    return figure
