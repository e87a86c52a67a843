"""Replaces views that Inductor compiles wrongly by copies, which are written back; refuses those that have no copy.

`x[i]` with a 0-dim tensor `i` is a view at a place that a graph does not know; here it is an operation of `x` and `i`,
whose bounds are checked. What is written into `x.unfold(...)` leaves zeros in the gaps. Writing into a view of which
several elements are one place in memory gives sums of them.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from funcdl.transforms.engine.aliasing import aliased_args, mutated_args, storage_id
from funcdl.transforms.engine.graph_passes.insertion import insert

_aten = torch.ops.aten


def copy_index(module: GraphModule, select: Any, position: Node, writes: list[Node]) -> None:
    """Puts a copy of `x[i]` in the place of a view, and writes it back into `x` after each of `writes`."""
    base, dim, _ = select.args
    at = _at(dim, base.meta["val"].ndim, position)
    taken = insert(module, _aten.index.Tensor, base, at)
    select.replace_all_uses_with(taken)
    for write in writes:
        with module.graph.inserting_after(write):  # x[i][j]: what is indexed last comes here last, and is written first
            insert(module, _aten.index_put_.default, base, at, taken)


def index_backward(module: GraphModule, node: Any, position: Node) -> None:
    """The gradient of `x[i]` with respect to `x`."""
    grad, sizes, dim, _ = node.args
    zeros = insert(module, _aten.new_zeros.default, grad, sizes)
    at = _at(dim, len(sizes), position)
    node.replace_all_uses_with(insert(module, _aten.index_put.default, zeros, at, grad))


def _at(dim: int, ndim: int, position: Node) -> list[Any]:
    return [*[None] * (dim % ndim), position]


def write_windows_back(module: GraphModule) -> bool:
    """Has what is written into windows of `x.unfold(dim, size, step)` reach `x`; returns whether anything is."""
    nodes: list[Any] = list(module.graph.nodes)
    unfolds = [node for node in nodes if node.target is _aten.unfold.default]
    found = {view: writes for view, writes in writes_through(nodes, unfolds).items() if writes}
    for unfold, writes in found.items():
        base, dim, size, step = unfold.args
        value = unfold.meta["val"]
        dim = dim % max(base.meta["val"].ndim, 1)
        with module.graph.inserting_after(unfold):
            windows = insert(module, _aten.clone.default, unfold)
        unfold.replace_all_uses_with(windows)
        windows.args = (unfold,)
        for write in writes:
            with module.graph.inserting_before(write.next):
                for offset in range(size):  # the elements of all windows at one place lie in a slice
                    end = offset + (value.shape[dim] - 1) * step + 1
                    part = insert(module, _aten.slice.Tensor, base, dim, offset, end, step)
                    insert(module, _aten.copy_.default, part, insert(module, _aten.select.int, windows, -1, offset))
    return bool(found)


def refuse_writes_into_copies(module: GraphModule) -> None:
    """Raises a ValueError where what is written into `x[i]` would have to reach `x` through a derivative."""
    nodes: list[Any] = list(module.graph.nodes)
    copies = [node for node in nodes if node.target is _aten.index.Tensor and not any(map(_ndim, node.args[1]))]
    if any(writes_through(nodes, copies).values()):
        raise ValueError(
            "jit: the function differentiates what it writes into x[i], with a tensor i, in another way than by "
            "x[i] = ...; write that"
        )


def _ndim(copy_of_index: Node | None) -> int:
    return 0 if copy_of_index is None else copy_of_index.meta["val"].ndim


def refuse_overlapping_writes(module: GraphModule) -> None:
    """Raises a ValueError where an operation writes into a tensor that has one place in memory for several elements."""
    overlapping = {node for node in module.graph.nodes if _may_overlap(node.meta.get("val"))}
    for node in module.graph.nodes:
        if mutated_args(node) & overlapping:
            raise ValueError(
                f"jit: the function writes ({node.target}) into a tensor of which several elements are one place in "
                "memory, as expand() and unfold() make it; clone() it first"
            )
        if any(parts & overlapping for _, parts in aliased_args(node)):
            overlapping.add(node)


def _may_overlap(tensor: Any) -> bool:
    reach = 0
    if not isinstance(tensor, Tensor):
        return False
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1:
            if stride <= reach:
                return True
            reach += stride * (size - 1)
    return False


def writes_through(nodes: list[Any], views: list[Any]) -> dict[Any, list[Any]]:
    """For each of `views` of an `x`, the operations that write into it or into a view of it.

    Raises:
        ValueError: `x` is written otherwise while a view that is written into is in use.
    """
    place = {node: number for number, node in enumerate(nodes)}
    return {view: _writes_through(view, place) for view in views}


def _writes_through(view: Node, place: dict[Node, int]) -> list[Node]:
    views = {view}
    for node in place:
        one_of_several = node.target is operator.getitem and node.args[0] in views
        if one_of_several or any(parts & views for _, parts in aliased_args(node)):
            views.add(node)
    last_use = max((place[user] for each in views for user in each.users), default=0)
    after = [node for node in place if place[node] > place[view] and mutated_args(node)]
    through = [node for node in after if mutated_args(node) & views]
    others = [
        node
        for node in after
        if not mutated_args(node) & views and storage_id(view) in map(storage_id, mutated_args(node))
    ]
    if any(place[node] < last_use for node in others) and (through or view.target is not _aten.unfold.default):
        raise ValueError(
            "jit: the function goes on with a view of x, x[i] with a tensor i or x.unfold(...), after it has written "
            "into x; take the view again, or a clone() of it"
        )
    return through
