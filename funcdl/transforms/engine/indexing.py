"""Indexing with a 0-dim tensor, and scaling by one, while a function is traced."""

from __future__ import annotations

from typing import Any

import torch
from torch import SymFloat, SymInt, Tensor
from torch.overrides import TorchFunctionMode

from funcdl import _torch
from funcdl.context import functorch_is_active

_INTEGER_DTYPES = (torch.int64, torch.int32, torch.int16, torch.int8)
_ADDITIONS = {getattr(torch, name) for name in ("add", "sub", "subtract")} | {
    getattr(Tensor, name) for name in ("add", "add_", "sub", "sub_", "subtract", "subtract_")
}


class TracedIndexing(TorchFunctionMode):
    """Traces `x[i]` with a 0-dim tensor `i` as `x.select(dim, i)`, because torch's own indexing needs the value of `i`.

    Inside a derivative `x[i]` is a copy instead, because autograd cannot differentiate a view at an unknown position.
    `x.add(y, alpha=h)` is then computed as `x + h * y`, because torch's derivative formula checks whether `h` is 1.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if kwargs and func in _ADDITIONS and _is_unknown_factor(kwargs.get("alpha")):
            tensors = [part for part in (*args, *kwargs.values()) if isinstance(part, Tensor)]
            if any(map(_is_differentiated, tensors)):
                return _add_scaled(func, *args, **kwargs)
        if func in (Tensor.__getitem__, Tensor.__setitem__) and any(map(_is_unknown, _entries(args[1]))):
            x, positions, rest = args[0], *_split_index(args[0], _entries(args[1]))
            differentiated = _is_differentiated(x)
            if func is Tensor.__setitem__ and differentiated and all(entry == slice(None) for entry in rest):
                value = torch.as_tensor(args[2], dtype=x.dtype, device=x.device)
                torch.ops.aten.index_put_.default(x, _indices(positions), value)
                return None
            part = torch.ops.aten.index.Tensor(x, _indices(positions)) if differentiated else _view(x, positions)
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
        if _torch.is_batched(entry):  # each member has its own value, and vmap handles such an index
            return False
        entry = _torch.unwrap_once(entry)
    return _torch.is_fake(entry)


def _is_differentiated(x: Tensor) -> bool:
    return x.requires_grad or functorch_is_active()


def _add_scaled(func: Any, input: Any, other: Any, *, alpha: Any) -> Tensor:
    dtype = torch.result_type(input, other)
    if isinstance(other, Tensor) and other.dtype in (torch.float16, torch.bfloat16):
        other = other.float()  # as in torch, the product is not rounded before it is added
    result: Tensor = func(input, other * alpha)
    return result if result is input else result.to(dtype)


def _split_index(x: Tensor, entries: tuple[Any, ...]) -> tuple[dict[int, Any], tuple[Any, ...]]:
    """Splits an index into the unknown position of each dimension that has one, and the remaining entries."""
    ellipsis_dims = x.ndim - sum(map(_dims, entries))
    dim, positions, rest = 0, {}, []
    for entry in entries:
        if _is_unknown(entry):
            positions[dim] = entry
            dim += 1
        else:
            rest.append(entry)
            dim += ellipsis_dims if entry is Ellipsis else _dims(entry)
    return positions, tuple(rest)


def _view(x: Tensor, positions: dict[int, Any]) -> Tensor:
    for dim, position in reversed(positions.items()):
        where: Any = position.item() if isinstance(position, Tensor) else position
        x = x.select(dim, where)
    return x


def _indices(positions: dict[int, Any]) -> list[Tensor | None]:
    found = {
        dim: position if isinstance(position, Tensor) else torch.scalar_tensor(position, dtype=torch.int64)
        for dim, position in positions.items()
    }
    return [found.get(dim) for dim in range(max(found) + 1)]


def _dims(entry: Any) -> int:
    """The number of dimensions that an entry of an index consumes."""
    if entry is None or entry is Ellipsis or isinstance(entry, bool):
        return 0
    is_mask = isinstance(entry, Tensor) and entry.dtype in (torch.bool, torch.uint8)
    return entry.ndim if is_mask else 1
