"""Drawings that explain: what lies where in memory. For notebooks, which show a figure that ends a cell."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from .pictures import BLUE, COLORS, GRAY


def storage(views: Mapping[str, Tensor], title: str) -> Figure:
    """The boxes of one storage with their numbers, and below them, for each view, the elements that it reads there.

    Args:
        views: tensors by name, which share one storage.
        title: what to see in it.

    Raises:
        ValueError: they lie in several storages.
    """
    first = next(iter(views.values()))
    if len({tensor.untyped_storage().data_ptr() for tensor in views.values()}) > 1:
        raise ValueError(f"storage: {', '.join(views)} do not share one storage; draw each by itself")
    length = first.untyped_storage().nbytes() // first.element_size()
    numbers = first.as_strided((length,), (1,), 0).tolist()
    figure = Figure(figsize=(1.0 + 0.95 * length, 1.3 + 0.45 * len(views)), layout="constrained")
    axes = figure.subplots()
    for box, number in enumerate(numbers):
        axes.add_patch(Rectangle((box, 0), 1, 1, facecolor="#E8F1F8", edgecolor=BLUE))
        axes.text(box + 0.5, 0.5, f"{number:g}", ha="center", va="center", fontsize=13)
        axes.text(box + 0.5, 1.12, str(box), ha="center", va="bottom", fontsize=8, color=GRAY)
    for row, (name, tensor) in enumerate(views.items()):
        color = COLORS[(row + 1) % len(COLORS)]
        height = -0.55 - 0.6 * row
        axes.text(-0.15, height, name, ha="right", va="center", fontsize=10, color=color)
        readers: dict[int, list[str]] = {}
        for index in itertools.product(*map(range, tensor.shape)):
            box = tensor.storage_offset() + sum(i * stride for i, stride in zip(index, tensor.stride(), strict=True))
            readers.setdefault(box, []).append(str(list(index)))
        for box, indices in readers.items():
            axes.text(box + 0.5, height, "\n".join(indices), ha="center", va="center", fontsize=9, color=color)
    axes.set(xlim=(-1.2, length + 0.1), ylim=(-0.6 - 0.6 * len(views), 1.6))
    axes.set_axis_off()
    axes.set_title(title, fontsize=11)
    return figure
