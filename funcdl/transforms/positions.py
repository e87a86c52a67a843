"""Indexing by a 0-dim tensor while a function runs on tensors without data."""

from __future__ import annotations

from typing import Any

import torch
from torch import SymInt, Tensor
from torch._subclasses.fake_tensor import is_fake
from torch.overrides import TorchFunctionMode

_WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8)


class UnknownPositions(TorchFunctionMode):
    """Takes `x[i]` as `x.select(dim, i)`, since Python's brackets want to know where `i` is."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.__getitem__, Tensor.__setitem__) and any(map(_is_unknown, _entries(args[1]))):
            part, rest = _selected(args[0], _entries(args[1]))
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
    one_for_all = not torch._C._functorch.is_functorch_wrapped_tensor(entry)
    return one_for_all and entry.ndim == 0 and entry.dtype in _WHOLE and is_fake(entry)


def _selected(x: Tensor, entries: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
    """What is left of `x` at the unknown positions, and the entries that are left to index it by."""
    left_out = x.ndim - sum(map(_dims, entries))  # what ... stands for
    dim, rest = 0, []
    for entry in entries:
        if _is_unknown(entry):
            place: Any = entry.item() if isinstance(entry, Tensor) else entry
            x = x.select(dim, place)
        else:
            rest.append(entry)
            dim += left_out if entry is Ellipsis else _dims(entry)
    return x, tuple(rest)


def _dims(entry: Any) -> int:
    """How many dimensions an entry of an index takes."""
    if entry is None or entry is Ellipsis or isinstance(entry, bool):
        return 0
    is_mask = isinstance(entry, Tensor) and entry.dtype in (torch.bool, torch.uint8)
    return entry.ndim if is_mask else 1
