"""Donation: which results of a graph may overwrite which of its donated inputs.

Only a freshly computed result may overwrite an input. A result that is an input or a view of one, as in a swap, could
be overwritten before it is read. There are three cases: a donated leaf that is returned unchanged stays where it is; a
fresh result overwrites a donated leaf of its shape, dtype and device, after everything else has been computed; any
other result is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from funcdl import _torch


class Plan(NamedTuple):
    """Where each result goes.

    Attributes:
        output_sources: for each result, whether it is in the memory of an input leaf, and its index among the inputs or
            the outputs of the graph.
        overwrites: pairs of the index of a leaf and the index of the result that overwrites it.
        copies: the indices of the remaining results, which are the outputs of the graph.
    """

    output_sources: list[tuple[bool, int]]
    overwrites: list[tuple[int, int]]
    copies: list[int]


def make_plan(inputs: Sequence[Tensor], results: list[Tensor], donated: list[int]) -> Plan:
    """Returns the plan for fake or real `inputs` and `results`, of which the inputs at `donated` may be overwritten."""
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
        # 0-dim leaves are excluded: torch 2.11 loses writes into 0-dim float64 inputs on the CPU, and little is saved.
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
    """Overwrites donated leaves with results as planned, and returns copies of the other results."""
    if plan is None:
        return results
    copied = [results[index].clone() for index in plan.copies]  # before anything is overwritten
    for target, index in plan.overwrites:
        leaves[target].copy_(results[index])
    return copied


def clone_aliased(outputs: Sequence[Tensor]) -> list[Tensor]:
    """Clones outputs that share memory with an earlier one: Inductor may merge several copies into one tensor."""
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
    known = offset if isinstance(offset, int) else None  # unknown for x[i] with a tensor i
    return _torch.storage_ids([t])[0], known, t.stride(), t.is_conj(), t.is_neg(), _layout(t)


def _layout(t: Tensor) -> Any:
    return t.shape, t.dtype, t.device
