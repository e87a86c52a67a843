"""One case of the layers' battery."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from funcdl import nn

sequence = (2, 4, 11)  # a batch of sequences: (batch, channels, length)
image = (2, 4, 9, 8)  # a batch of images: (batch, channels, height, width)
volume = (2, 4, 5, 7, 6)  # a batch of volumes: (batch, channels, depth, height, width)


@dataclass(frozen=True)
class Integers:
    """An input of integers in [low, high)."""

    shape: tuple[int, ...]
    low: int
    high: int


Inputs = tuple[int, ...] | Integers | list["Inputs"] | dict[str, "Inputs"]


@dataclass(frozen=True)
class Case:
    """A layer, what makes its twin, and the shape of a batch of inputs.

    A list of them stands for a tuple of inputs, and a dict for inputs by name.
    """

    layer: nn.Layer
    twin: Callable[[], torch.nn.Module]
    shape: Inputs
    unbatched: bool = True  # whether a single sample is an input as well, and no different from a batch of one
    exact: bool = True  # whether the output is the twin's bit for bit, since both call the same operations
    frozen_row: int | None = None  # the row of a table that gets no gradient
