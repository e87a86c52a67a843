"""The pictures of the recipes `loss-functions`, `dimension-reduction` and `real-data`."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from torch import Tensor

from funcdl import data, losses

from ..axes import heading, legend_below
from ..pictures import BLUE, COLORS, ORANGE, label


def losses_of_two_classes() -> Figure:
    """The loss of a sample by the probability, and by the logit, that it is given."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    heading(figure, "What a sample costs: nothing where it is predicted well, without limit where it is not")
    by_probability, by_logit = figure.subplots(1, 2)
    p, z = torch.linspace(0.005, 0.995, 199), torch.linspace(-6, 6, 121)
    for y, color, style in ((1.0, BLUE, "-"), (0.0, ORANGE, "--")):
        target = torch.tensor(y)
        loss = losses.binary_cross_entropy(p, target.expand_as(p), reduction="none")
        by_probability.plot(p.tolist(), loss.tolist(), style, color=color, label=f"y = {y:.0f}")
        loss = losses.binary_cross_entropy_with_logits(z, target.expand_as(z), reduction="none")
        by_logit.plot(z.tolist(), loss.tolist(), style, color=color, label=f"y = {y:.0f}")
    by_probability.set(xlabel="predicted probability of y = 1", ylabel="binary cross-entropy")
    by_logit.set(xlabel="logit of y = 1", ylabel="binary cross-entropy")
    for axes in (by_probability, by_logit):
        axes.grid(alpha=0.3)
    legend_below(figure)
    return figure


def maps(maps: dict[str, Float[Tensor, "n size"]], labels: Int[Tensor, " n"], count: int = 400) -> Figure:
    """The first digits at their three numbers, each written as the digit that it is."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    for index, (name, values) in enumerate(maps.items()):
        axes = figure.add_subplot(1, 2, index + 1, projection="3d")
        x, y, z = values[:count, :3].T.numpy(force=True)
        for digit in range(10):
            mine = (labels[:count] == digit).numpy()
            color = COLORS[digit % len(COLORS)]
            axes.scatter(x[mine], y[mine], z[mine], marker=f"${digit}$", color=color, s=30, label=str(digit))
        axes.set(title=name, xlabel="first number", ylabel="second number", zlabel="third number")
        axes.set(xticks=[], yticks=[], zticks=[])  # only which digits lie together can be read
    heading(figure, f"{count} digits of 64 pixels, each as three numbers: equal digits lie together")
    return figure


def restored(rows: dict[str, Float[Tensor, "10 64"]]) -> Figure:
    """Digits of 8 x 8 pixels, a row for each name."""
    figure = Figure(figsize=(9, 3.3), layout="constrained")
    grid = figure.subplots(len(rows), 10)
    for (name, images), axes in zip(rows.items(), grid, strict=True):
        for image, one in zip(images, axes, strict=True):
            one.imshow(
                rearrange(image, "(height width) -> height width", height=8).numpy(), cmap="gray", vmin=0, vmax=1
            )
            one.set(xticks=[], yticks=[])
        axes[0].set_ylabel(name.replace(", ", ",\n"), fontsize=8, rotation=0, ha="right", va="center")
    heading(figure, "Digits of 64 pixels, and what is restored from their three numbers")
    return figure


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
    heading(figure, f"A picture of {image.shape[2]} x {image.shape[1]} pixels, and how much red, green and blue it has")
    return figure


def first_day(days: Float[Tensor, "days columns 24"], table: data.Table) -> Figure:
    """The bicycles hired in each hour of the first day, and the temperature."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    heading(figure, "Bicycles hired in each hour of the first day, and the temperature")
    counts = figure.subplots()
    rides, warmth = (days[0, table.names.index(name)].tolist() for name in ("cnt", "temp"))
    counts.bar(range(24), rides, color=BLUE, label="bicycles")
    counts.set(xlabel="hour of the day", ylabel="bicycles hired in the hour", xticks=range(0, 24, 3))
    temperature = counts.twinx()
    temperature.plot(range(24), warmth, "o-", color=ORANGE, markersize=4, label="temperature")
    temperature.set(ylabel="temperature (1 is the highest)", ylim=(0, 1))
    legend_below(figure)
    return figure


def one_hot_letters(letters: Float[Tensor, "letters 128"], line: str) -> Figure:
    """One-hot letters: where in each row the 1 stands."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots()
    position, code = letters.nonzero().T
    axes.scatter(position.tolist(), code.tolist(), marker="s", s=12, color=BLUE)
    axes.set(xlabel="letter of the line", ylabel="code of the letter", ylim=(127, -1))
    axes.set_xticks(range(len(letters)), list(map(label, line.strip())), fontsize=7, family="monospace")
    axes.set_title(f"{len(letters)} letters as one-hot vectors of 128: each has its 1 (drawn) at its code, 0 elsewhere")
    axes.grid(alpha=0.2)
    return figure
