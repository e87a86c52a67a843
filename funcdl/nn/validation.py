"""Validation of the arguments and inputs of layers, with uniform error messages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from funcdl.nn.layer import Params


class MissingEntry(KeyError):
    """A parameter or buffer is missing."""

    def __str__(self) -> str:
        return str(self.args[0])


LENGTH, IMAGE, VOLUME = ("length",), ("height", "width"), ("depth", "height", "width")  # the spatial axes


def entry(layer: str, entries: Params, name: str, kind: str = "parameter") -> Any:
    """Returns `entries[name]`, a layer's parameter or buffer; raises a KeyError that names the layer.

    >>> entry("linear(4)", {"w": 0}, "weight")
    Traceback (most recent call last):
    funcdl.nn.validation.MissingEntry: linear(4): expected a parameter 'weight', got 'w'; pass what init() returned
    """
    try:
        found = entries[name]
    except (KeyError, IndexError, TypeError):
        found = None
    if found is None:
        given = ", ".join(map(repr, entries)) if isinstance(entries, Mapping) else type(entries).__name__
        message = f"{layer}: expected a {kind} {name!r}, got {given or 'none'}; pass what init() returned"
        raise MissingEntry(message)
    return found


def check_dtype(layer: str, x: Tensor, weight: Tensor) -> None:
    """Raises a TypeError unless `x` has the dtype of the layer's weight, or autocast is enabled."""
    if x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
        raise TypeError(
            f"{layer}: expected an input of the parameters' dtype {weight.dtype}, got {x.dtype}; "
            f"convert one of them, for example x.to({weight.dtype})"
        )


def is_whole(value: Any) -> bool:
    """Whether `value` is an int or a NumPy integer."""
    return hasattr(value, "__index__") and not isinstance(value, Tensor)


def check_whole(layer: str, **sizes: Any) -> None:
    """Raises a ValueError unless all sizes are whole numbers."""
    for argument, size in sizes.items():
        if not is_whole(size):
            raise ValueError(f"{layer}: expected {argument} as a whole number, got {size!r}")


def check_sizes(layer: str, least: int = 0, **sizes: Any) -> None:
    """Raises a ValueError unless all sizes are whole numbers >= `least`."""
    for argument, size in sizes.items():
        if not is_whole(size) or size < least:
            raise ValueError(f"{layer}: expected {argument} as a whole number of at least {least}, got {size!r}")


def check_numbers(layer: str, low: float = -math.inf, high: float = math.inf, **numbers: Any) -> None:
    """Raises a ValueError unless all numbers are finite and in [low, high]."""
    for argument, number in numbers.items():
        if not isinstance(number, Real) or not low <= float(number) <= high or not math.isfinite(number):
            bounds = "" if low == -math.inf else f" of at least {low}" if high == math.inf else f" from {low} to {high}"
            raise ValueError(f"{layer}: expected {argument} as a finite number{bounds}, got {number!r}")


def check_image(layer: str, x: Tensor, axes: tuple[str, ...]) -> None:
    """Raises a ValueError unless `x` is (batch, channels, *axes) or (channels, *axes)."""
    if x.ndim not in (len(axes) + 1, len(axes) + 2):
        image = f"channels, {', '.join(axes)}"
        raise ValueError(f"{layer}: expected (batch, {image}) or ({image}), got shape {tuple(x.shape)}")


def per_axis(layer: str, argument: str, value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """Returns a value for each spatial axis, as torch does; raises a ValueError if there are too few or too many."""
    values = tuple(value) if isinstance(value, Sequence) else (value,) * axes
    if len(values) != axes or not all(is_whole(each) for each in values):
        raise ValueError(f"{layer}: expected an int or {axes} of them for {argument}, got {value}")
    return values
