"""Validation of layers' arguments, with uniform error messages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from funcdl.nn.layer import Params
from funcdl.transforms import first_order
from funcdl.transforms.tracing import in_graph, without_data


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
    """Whether `value` is an int, or an integer of NumPy."""
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
    """Returns `value` for each spatial axis, as torch does; raises a ValueError for another number of values."""
    values = tuple(value) if isinstance(value, Sequence) else (value,) * axes
    if len(values) != axes or not all(is_whole(each) for each in values):
        raise ValueError(f"{layer}: expected an int or {axes} of them for {argument}, got {value}")
    return values


def values_are_known(x: Tensor) -> bool:
    """Whether the numbers in `x` can be looked at: not in a trace, under a transform, or on the meta device."""
    return not (x.is_meta or in_graph() or torch._C._are_functorch_transforms_active() or without_data())


def first_order_only() -> bool:
    """Whether `torch.func` takes at most one gradient, and no `vmap` or forward derivative, of what is computed now.

    Torch's fused kernels for whole layers know the first derivative alone, and have no rule for `vmap`.
    """
    functorch = torch._C._functorch
    transforms = [transform.key() for transform in functorch.get_interpreter_stack() or ()]
    return forward_ad._current_level < 0 and transforms in ([], [functorch.TransformType.Grad])


def backward_once(*tensors: Tensor) -> bool:
    """Whether all that is differentiated of what is computed from `tensors` now is one gradient of ours, if any.

    What torch's fused kernels cannot do otherwise is done by plain operations, in every graph too, which may be
    differentiated later, and in which they are as fast.
    """
    if in_graph() or forward_ad._current_level >= 0 or is_recorded(*tensors):
        return False
    functorch = torch._C._functorch
    transforms = [transform.key() for transform in functorch.get_interpreter_stack() or ()]
    kinds = functorch.TransformType
    return transforms.count(kinds.Grad) <= 1 and {kinds.Grad, kinds.Vmap}.issuperset(transforms)


def is_mapped() -> bool:
    """Whether `vmap` is under way."""
    functorch = torch._C._functorch
    stack = functorch.get_interpreter_stack() or ()
    return any(transform.key() == functorch.TransformType.Vmap for transform in stack)


def is_recorded(*tensors: Tensor) -> bool:
    """Whether plain autograd, outside of all our gradients, records what is done with one of them; not for a trace."""
    if first_order.is_under_way() and not torch._C._are_functorch_transforms_active():
        return False
    return torch.is_grad_enabled() and any(_plain(t).requires_grad for t in tensors)


def _plain(t: Tensor) -> Tensor:
    while torch._C._functorch.is_functorch_wrapped_tensor(t):
        t = torch._C._functorch.get_unwrapped(t)
    return t


# What holds while a graph is traced holds in the graph. This is what torch.compiler.assume_constant_result does, which
# would import Dynamo, and take as long for it as for all of torch.
first_order_only._dynamo_marked_constant = True  # type: ignore[attr-defined]
