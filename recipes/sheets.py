"""The sheet of `predict`: each input as the network saw it, what it was taken for, and how sure the network is."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from .pictures import BLUE, GRAY, label
from .terminal import escaped

MOST, COLUMNS, BARS = 24, 4, 5  # inputs on a sheet, side by side, and likeliest labels of each


def predictions(found: Sequence[dict[str, Any]], heading: str) -> Figure:
    """For each prediction its image, where it has one, and the probabilities of the likeliest labels as bars.

    Args:
        found: each with "input", "prediction" and "probabilities", and "image" for what is a picture: (channels,
            height, width), bytes, or floats from 0 to 1.
        heading: what to see.
    """
    shown = found[:MOST]
    with_images = any("image" in one for one in shown)
    columns, bars = min(COLUMNS if with_images else 2, len(shown)), min(BARS, max(map(_count, shown)))
    rows = -(-len(shown) // columns)
    more = f" (the first {len(shown)} of {len(found)})" if len(found) > len(shown) else ""
    size = (max(5.0, (2.8 if with_images else 5.0) * columns), (2.6 * with_images + 0.8 + 0.25 * bars) * rows + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(heading + more)
    parts = 2 if with_images else 1
    grid = figure.subplots(parts * rows, columns, height_ratios=[3, 2][-parts:] * rows, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for index, one in enumerate(shown):
        cells = grid[parts * (index // columns) : parts * (index // columns + 1), index % columns]
        _bars(cells[-1], one, bars)
        name = textwrap.shorten(one["input"].rsplit("/", 1)[-1], 28, placeholder=" …")
        notes = textwrap.wrap("; ".join(one.get("notes", [])), 40 if with_images else 70, max_lines=2, placeholder=" …")
        title = f"{label(name)}\nprediction: {label(str(one['prediction']))}"
        title = "\n".join([title, *(escaped(note).replace("$", r"\$") for note in notes)])
        cells[0].set_title(title, fontsize=8, loc="center" if with_images else "left")
        if "image" in one:
            pixels = one["image"].movedim(0, -1).squeeze(-1).numpy(force=True)
            cells[0].imshow(pixels, cmap="gray", vmin=0, vmax=255 if pixels.dtype == "uint8" else 1)
    return figure


def png(found: Sequence[dict[str, Any]], heading: str) -> bytes:
    """The picture of `predictions` as a PNG file."""
    file = io.BytesIO()
    predictions(found, heading).savefig(file, format="png", dpi=120)
    return file.getvalue()


def _count(one: dict[str, Any]) -> int:
    return len(one["probabilities"])


def _bars(axes: Any, one: dict[str, Any], count: int) -> None:
    likeliest = sorted(one["probabilities"].items(), key=lambda pair: -pair[1])[:count]
    axes.set_axis_on()
    heights = range(len(likeliest))
    colors = [BLUE if str(name) == str(one["prediction"]) else GRAY for name, _ in likeliest]
    axes.barh(heights, [share for _, share in likeliest], color=colors)
    for height, (_, share) in zip(heights, likeliest, strict=True):
        axes.text(share + 0.03, height, f"{share:.1%}", va="center", fontsize=8)
    axes.set(xlim=(0, 1.3), xticks=[], ylim=(count - 0.5, -0.5), yticks=list(heights))
    axes.set_yticklabels([label(str(name)) for name, _ in likeliest], fontsize=8)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
