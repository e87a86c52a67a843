"""Which results of a graph may overwrite which of its donated inputs.

That is sound only with values the graph has freshly computed: a result that is an input, or a view of one, could be
overwritten before it is read (a swap). So each result goes one of three ways: a donated leaf that comes back as it was
stays where it is; a fresh result overwrites a donated leaf of its form, once all else is computed; anything else leaves
the graph as a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor


class Plan(NamedTuple):
    """What becomes of the results.

    Attributes:
        held_by: for each result: whether it is an input leaf, and its index among these or among the graph's outputs.
        overwrites: the pairs of a leaf and the result that overwrites it.
        copies: the other results, which are the graph's outputs.
    """

    held_by: list[tuple[bool, int]]
    overwrites: list[tuple[int, int]]
    copies: list[int]


def make_plan(inputs: Sequence[Tensor], results: list[Tensor], donated: list[int]) -> Plan:
    """Decides it by which tensors share memory, and which have the same form."""
    free = {_view(inputs[index]): index for index in donated}
    held: dict[int, tuple[bool, int]] = {}
    for number, result in enumerate(results):
        unchanged = free.pop(_view(result), None)
        if unchanged is not None:
            held[number] = (True, unchanged)

    storages = {leaf.untyped_storage()._cdata for leaf in inputs}
    by_form: dict[Any, list[int]] = {}
    for index in free.values():
        # torch 2.11 loses what a graph writes over a 0-dim float64 input on the CPU, and such a leaf is not worth it.
        if inputs[index].is_contiguous() and inputs[index].ndim:
            by_form.setdefault(_form(inputs[index]), []).append(index)
    overwrites: list[tuple[int, int]] = []
    copies: list[int] = []
    for number, result in enumerate(results):
        if number in held:
            continue
        targets = by_form.get(_form(result), [])
        if targets and result.untyped_storage()._cdata not in storages:
            held[number] = (True, targets[0])
            overwrites.append((targets.pop(0), number))
        else:
            held[number] = (False, len(copies))
            copies.append(number)
    return Plan([held[number] for number in range(len(results))], overwrites, copies)


def overwrite(leaves: Sequence[Tensor], results: list[Tensor], plan: Plan | None) -> list[Tensor]:
    """Writes results over donated leaves as planned, and returns the others."""
    if plan is None:
        return results
    copied = [results[index].clone() for index in plan.copies]  # before anything is overwritten
    for target, index in plan.overwrites:
        leaves[target].copy_(results[index])
    return copied


def apart(outputs: Sequence[Tensor]) -> list[Tensor]:
    """Clones what shares its memory with an output before it: Inductor returns a value once, though it was copied."""
    seen: set[int] = set()
    separate = []
    for output in outputs:
        storage = output.untyped_storage()._cdata
        separate.append(output.clone() if storage in seen else output)
        seen.add(storage)
    return separate


def refuse_shared_memory(leaves: list[Tensor], donated: list[int], paths: list[str]) -> None:
    """Raises a ValueError if a donated leaf shares its memory with another leaf."""
    if not donated:
        return
    storages = [leaf.untyped_storage()._cdata for leaf in leaves]
    if len(set(storages)) == len(storages):
        return
    for index in donated:
        shared = [other for other, storage in enumerate(storages) if storage == storages[index] and other != index]
        if shared:
            raise ValueError(
                f"jit: '{paths[index]}' is donated, but shares its memory with '{paths[shared[0]]}'; "
                "clone one of them first"
            )


def _view(t: Tensor) -> Any:
    offset = t.storage_offset()
    known = offset if isinstance(offset, int) else None  # x[i] with a tensor i is where no leaf is known to be
    return t.untyped_storage()._cdata, known, t.stride(), t.is_conj(), t.is_neg(), _form(t)


def _form(t: Tensor) -> Any:
    return t.shape, t.dtype, t.device
