"""Validation of the arguments of random functions, with uniform error messages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

Shape = Sequence[int] | int

_INTEGERS: Any = (int, torch.SymInt, np.integer)
_NUMBERS: Any = (*_INTEGERS, float, torch.SymFloat, np.floating)
INTEGER_DTYPES: tuple[torch.dtype, ...] = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
INTEGER_DTYPES += (torch.uint64, torch.uint32, torch.uint16)
_DIGITS = {torch.float64: 53, torch.float32: 24, torch.float16: 11, torch.bfloat16: 8}  # bits of precision


def as_shape(name: str, shape: Shape) -> tuple[int, ...]:
    """Returns a shape as a tuple; it may be a single size."""
    sizes = (shape,) if isinstance(shape, _INTEGERS) else shape
    if not isinstance(sizes, (tuple, list)) or any(
        not isinstance(size, _INTEGERS) or isinstance(size, bool) for size in sizes
    ):
        raise TypeError(f"random.{name}: shape={shape!r}, expected a size or a tuple of them, such as (2, 3)")
    if any(size < 0 for size in sizes):
        raise ValueError(f"random.{name}: shape={shape!r}, expected sizes of at least 0")
    return tuple(int(size) if isinstance(size, np.integer) else size for size in sizes)


def as_number(name: str, argument: str, value: Any) -> float:
    """Returns a Python number; it may be a 0-dim tensor whose value is known."""
    if isinstance(value, Tensor) and value.ndim == 0 and not value.is_complex():
        return float(value)
    if not isinstance(value, _NUMBERS):
        raise TypeError(
            f"random.{name}: {argument}={described(value)}, expected one number; for many, scale draws of the standard "
            "distribution or use vmap"
        )
    return float(value) if isinstance(value, (np.integer, np.floating)) else value


def as_integer(name: str, argument: str, value: Any) -> int:
    """Returns a Python integer; it may be a 0-dim tensor whose value is known."""
    if isinstance(value, Tensor) and value.ndim == 0 and value.dtype in INTEGER_DTYPES:
        return int(value)
    if not isinstance(value, _INTEGERS) or isinstance(value, bool):
        raise TypeError(f"random.{name}: {argument}={described(value)}, expected an int")
    return int(value) if isinstance(value, np.integer) else value


def as_tensor(name: str, argument: str, value: Any, dtype: torch.dtype | None, device: torch.device) -> Tensor:
    """Returns a tensor unchanged, and lists or arrays of numbers as a tensor."""
    if isinstance(value, Tensor):
        return value
    try:
        return torch.as_tensor(value, dtype=dtype, device=device)
    except (ValueError, TypeError, RuntimeError):
        given = described(value)
        raise TypeError(f"random.{name}: {argument}={given}, expected a tensor or a list of numbers") from None


def check_values(name: str, argument: str, values: Tensor, good: Tensor, expected: str) -> None:
    """Raises a ValueError if `good` is False for one of the values."""
    if not good.all():
        raise ValueError(f"random.{name}: {argument} has {values[~good][0].item():g}, expected {expected}")


def check_broadcast(name: str, argument: str, given: Sequence[int], shape: Sequence[int]) -> None:
    """Raises a ValueError unless a tensor of the shape `given` broadcasts to `shape`."""
    fits = len(given) <= len(shape) and all(a in (1, b) for a, b in zip(reversed(given), reversed(shape), strict=False))
    if not fits:
        raise ValueError(
            f"random.{name}: {argument} has shape {tuple(given)}, expected one that broadcasts to shape={tuple(shape)}"
        )


def rounded(number: float, dtype: torch.dtype) -> float:
    """Rounds to the nearest number of a floating-point dtype, in arithmetic that Dynamo can trace."""
    unit = _unit(number, dtype)
    return math.ldexp(round(math.ldexp(number, -unit)), unit)


def next_below(number: float, dtype: torch.dtype) -> float:
    """Returns the next smaller number of a floating-point dtype; below 0, the first that is not subnormal."""
    if number == 0:
        return -torch.finfo(dtype).tiny
    unit = _unit(number, dtype)
    power = abs(math.frexp(number)[0]) == 0.5 and number > 0  # below a power of two the spacing is half
    return number - math.ldexp(1.0, max(unit - power, _least_unit(dtype)))


def _unit(number: float, dtype: torch.dtype) -> int:
    return max(math.frexp(number)[1] - _DIGITS[dtype], _least_unit(dtype))


def _least_unit(dtype: torch.dtype) -> int:
    return math.frexp(torch.finfo(dtype).tiny)[1] - _DIGITS[dtype]


def described(value: object) -> str:
    """Describes a value for an error message."""
    if isinstance(value, Tensor):
        return f"a tensor of {value.dtype} and shape {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
