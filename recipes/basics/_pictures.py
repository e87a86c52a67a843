"""The pictures of the recipe `real-data`."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from funcdl import data

from ..pictures import BLUE, ORANGE, label


def channels(image: Tensor) -> Figure:
    """An image, and its three channels in gray."""
    figure = Figure(figsize=(10, 2.6), layout="constrained")
    panels = figure.subplots(1, 4)
    panels[0].imshow(rearrange(image, "channels height width -> height width channels").numpy())
    panels[0].set_title("image")
    for axes, channel, name in zip(panels[1:], image, ("red", "green", "blue"), strict=False):
        axes.imshow(channel.numpy(), cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"{name} channel")
    for axes in panels:
        axes.set(xticks=[], yticks=[])
    figure.suptitle(f"{image.shape[2]} x {image.shape[1]} pixels, bright where there is much of a color")
    return figure


def first_day(days: Float[Tensor, "days columns 24"], table: data.Table) -> Figure:
    """The bicycles hired in each hour of the first day, and the temperature."""
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    counts = figure.subplots()
    rides, warmth = (days[0, table.names.index(name)].tolist() for name in ("cnt", "temp"))
    counts.bar(range(24), rides, color=BLUE, label="bicycles")
    counts.set(xlabel="hour of the day", ylabel="bicycles hired", title="the first day", xticks=range(0, 24, 3))
    temperature = counts.twinx()
    temperature.plot(range(24), warmth, "o-", color=ORANGE, markersize=4, label="temperature")
    temperature.set(ylabel="temperature (of the greatest)", ylim=(0, 1))
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def one_hot_letters(letters: Float[Tensor, "letters 128"], line: str) -> Figure:
    """One-hot letters: where in each row the 1 stands."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots()
    place, code = letters.nonzero().T
    axes.scatter(place.tolist(), code.tolist(), marker="s", s=12, color=BLUE)
    axes.set(xlabel="letter of the line", ylabel="its number, where the row has a 1", ylim=(127, -1))
    axes.set_xticks(range(len(letters)), list(map(label, line.strip())), fontsize=7, family="monospace")
    axes.set_title(f"one-hot letters, {len(letters)} x 128: a 1 in each column, 0 elsewhere")
    axes.grid(alpha=0.2)
    return figure
