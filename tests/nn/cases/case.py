"""One row of the batteries' table."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from funcdl import nn

image = (2, 4, 9, 8)  # a batch of images: (batch, channels, height, width)


@dataclass(frozen=True)
class Case:
    """A layer, what makes its twin, and the shape of a batch of inputs (or a list of them, for a tuple of inputs)."""

    layer: nn.Layer
    twin: Callable[[], torch.nn.Module]
    shape: tuple[int, ...] | list[tuple[int, ...]]
    unbatched: bool = True  # whether a single sample is an input as well, and no different from a batch of one
