"""What layers ask of their arguments, in one wording."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def check_dtype(layer: str, x: Tensor, weight: Tensor) -> None:
    """Raises a TypeError unless `x` has the dtype of the layer's weight, or autocast is there to convert it."""
    if x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
        raise TypeError(
            f"{layer}: expected an input of the parameters' dtype {weight.dtype}, got {x.dtype}; "
            f"convert one of them, for example x.to({weight.dtype})"
        )


def per_axis(layer: str, argument: str, value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """Returns `value` for each of the spatial axes, as torch does; raises a ValueError when there are not as many."""
    values = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(values) != axes:
        raise ValueError(f"{layer}: expected an int or {axes} of them for {argument}, got {value}")
    return values
