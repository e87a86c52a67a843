"""Which results of a graph may overwrite which of its donated inputs.

That is sound only for what the graph has freshly computed: a result that is an input, or a view of one, could be
overwritten before it is read (a swap). So there are three cases: a donated leaf that is returned unchanged stays where
it is; a fresh result overwrites a donated leaf of its shape, dtype and device, once all else is computed; any other
result is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from funcdl import _torch


class Plan(NamedTuple):
    """Where each result goes.

    Attributes:
        output_sources: for each result, whether it stands in an input leaf, and its index among the inputs or outputs.
        overwrites: pairs of the index of a leaf and of the result that overwrites it.
        copies: the indices of the other results, which are the graph's outputs.
    """

    output_sources: list[tuple[bool, int]]
    overwrites: list[tuple[int, int]]
    copies: list[int]


def make_plan(inputs: Sequence[Tensor], results: list[Tensor], donated: list[int]) -> Plan:
    """Plans by which tensors share memory, and which have the same shape, dtype and device."""
    free = {_view_key(inputs[index]): index for index in donated}
    sources: dict[int, tuple[bool, int]] = {}
    for number, result in enumerate(results):
        unchanged = free.pop(_view_key(result), None)
        if unchanged is not None:
            sources[number] = (True, unchanged)

    storages = set(_torch.storage_ids(inputs))
    result_storages = _torch.storage_ids(results)
    by_layout: dict[Any, list[int]] = {}
    for index in free.values():
        # torch 2.11 loses what a graph writes over a 0-dim float64 input on the CPU, and such a leaf is not worth it.
        if inputs[index].is_contiguous() and inputs[index].ndim:
            by_layout.setdefault(_layout(inputs[index]), []).append(index)
    overwrites: list[tuple[int, int]] = []
    copies: list[int] = []
    for number, result in enumerate(results):
        if number in sources:
            continue
        targets = by_layout.get(_layout(result), [])
        if targets and result_storages[number] not in storages:
            sources[number] = (True, targets[0])
            overwrites.append((targets.pop(0), number))
        else:
            sources[number] = (False, len(copies))
            copies.append(number)
    return Plan([sources[number] for number in range(len(results))], overwrites, copies)


def overwrite_donated(leaves: Sequence[Tensor], results: list[Tensor], plan: Plan | None) -> list[Tensor]:
    """Writes results over donated leaves as planned, and returns the others."""
    if plan is None:
        return results
    copied = [results[index].clone() for index in plan.copies]  # before anything is overwritten
    for target, index in plan.overwrites:
        leaves[target].copy_(results[index])
    return copied


def clone_aliased(outputs: Sequence[Tensor]) -> list[Tensor]:
    """Clones what shares its memory with an output before it: Inductor may return one tensor for several copies."""
    seen: set[int] = set()
    separate = []
    for output, storage in zip(outputs, _torch.storage_ids(outputs), strict=True):
        separate.append(output.clone() if storage in seen else output)
        seen.add(storage)
    return separate


def refuse_shared_memory(leaves: list[Tensor], donated: list[int], paths: list[str]) -> None:
    """Raises a ValueError if a donated leaf shares its memory with another leaf."""
    if not donated:
        return
    storages = _torch.storage_ids(leaves)
    if len(set(storages)) == len(storages):
        return
    for index in donated:
        shared = [other for other, storage in enumerate(storages) if storage == storages[index] and other != index]
        if shared:
            raise ValueError(
                f"jit: '{paths[index]}' is donated, but shares its memory with '{paths[shared[0]]}'; "
                "clone one of them first"
            )


def _view_key(t: Tensor) -> Any:
    offset = t.storage_offset()
    known = offset if isinstance(offset, int) else None  # x[i] with a tensor i is where no leaf is known to be
    return _torch.storage_ids([t])[0], known, t.stride(), t.is_conj(), t.is_neg(), _layout(t)


def _layout(t: Tensor) -> Any:
    return t.shape, t.dtype, t.device
