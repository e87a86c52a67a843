"""Indexing by a 0-dim tensor, and scaling by one, while a function is traced."""

from __future__ import annotations

from typing import Any

import torch
from torch import SymFloat, SymInt, Tensor
from torch.overrides import TorchFunctionMode

from funcdl import _torch
from funcdl.context import functorch_is_active

_INTEGER_DTYPES = (torch.int64, torch.int32, torch.int16, torch.int8)
_ADDING = {getattr(torch, name) for name in ("add", "sub", "subtract")} | {
    getattr(Tensor, name) for name in ("add", "add_", "sub", "sub_", "subtract", "subtract_")
}


class TracedIndexing(TorchFunctionMode):
    """Takes `x[i]` as `x.select(dim, i)`, since Python's brackets want to know where `i` is.

    Below a derivative, which cannot follow views at unknown places, it is a copy. `x.add(y, alpha=h)` is `x + h * y`
    there, since torch's formula for its derivative asks whether `h` is 1.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if kwargs and func in _ADDING and _is_unknown_factor(kwargs.get("alpha")):
            tensors = [part for part in (*args, *kwargs.values()) if isinstance(part, Tensor)]
            if any(map(_is_differentiated, tensors)):
                return _add_scaled(func, *args, **kwargs)
        if func in (Tensor.__getitem__, Tensor.__setitem__) and any(map(_is_unknown, _entries(args[1]))):
            x, places, rest = args[0], *_places(args[0], _entries(args[1]))
            differentiated = _is_differentiated(x)
            if func is Tensor.__setitem__ and differentiated and all(entry == slice(None) for entry in rest):
                value = torch.as_tensor(args[2], dtype=x.dtype, device=x.device)
                torch.ops.aten.index_put_.default(x, _indices(places), value)
                return None
            part = torch.ops.aten.index.Tensor(x, _indices(places)) if differentiated else _view(x, places)
            if func is Tensor.__setitem__:
                part[rest or ...] = args[2]
                return None
            return part[rest] if rest else part
        return func(*args, **kwargs or {})


def _entries(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _is_unknown(entry: Any) -> bool:
    if not isinstance(entry, Tensor):
        return isinstance(entry, SymInt)
    return entry.dtype in _INTEGER_DTYPES and _is_unknown_factor(entry)


def _is_unknown_factor(entry: Any) -> bool:
    if not isinstance(entry, Tensor):
        return isinstance(entry, (SymInt, SymFloat))
    if entry.ndim:
        return False
    while _torch.is_functorch_wrapped(entry):
        if _torch.is_batched(entry):  # of each member another one, which torch takes for a tensor of them
            return False
        entry = _torch.unwrap_once(entry)
    return _torch.is_fake(entry)


def _is_differentiated(x: Tensor) -> bool:
    return x.requires_grad or functorch_is_active()


def _add_scaled(func: Any, input: Any, other: Any, *, alpha: Any) -> Tensor:
    dtype = torch.result_type(input, other)
    if isinstance(other, Tensor) and other.dtype in (torch.float16, torch.bfloat16):
        other = other.float()  # the product is not rounded before it is added
    result: Tensor = func(input, other * alpha)
    return result if result is input else result.to(dtype)


def _places(x: Tensor, entries: tuple[Any, ...]) -> tuple[dict[int, Any], tuple[Any, ...]]:
    """The unknown position along each dimension that has one, and the entries that are left to index by."""
    left_out = x.ndim - sum(map(_dims, entries))  # what ... stands for
    dim, places, rest = 0, {}, []
    for entry in entries:
        if _is_unknown(entry):
            places[dim] = entry
            dim += 1
        else:
            rest.append(entry)
            dim += left_out if entry is Ellipsis else _dims(entry)
    return places, tuple(rest)


def _view(x: Tensor, places: dict[int, Any]) -> Tensor:
    for dim, place in reversed(places.items()):
        where: Any = place.item() if isinstance(place, Tensor) else place
        x = x.select(dim, where)
    return x


def _indices(places: dict[int, Any]) -> list[Tensor | None]:
    found = {
        dim: place if isinstance(place, Tensor) else torch.scalar_tensor(place, dtype=torch.int64)
        for dim, place in places.items()
    }
    return [found.get(dim) for dim in range(max(found) + 1)]


def _dims(entry: Any) -> int:
    """How many dimensions an entry of an index takes."""
    if entry is None or entry is Ellipsis or isinstance(entry, bool):
        return 0
    is_mask = isinstance(entry, Tensor) and entry.dtype in (torch.bool, torch.uint8)
    return entry.ndim if is_mask else 1
