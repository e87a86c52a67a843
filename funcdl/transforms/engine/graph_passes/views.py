"""Replaces views that Inductor compiles wrongly with copies that are written back, and refuses those where it cannot.

- `x[i]` with a 0-dim tensor `i` is a view at a position that is unknown while tracing. It becomes an indexing operation
  on `x` and `i`, which checks bounds.
- In `x.unfold(...)` with gaps between the windows, Inductor sets the gaps to zero if the function writes into it.
- In a view with several elements at the same memory location, Inductor adds up what is written there.
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


def copy_select(module: GraphModule, select: Any, position: Node, writes: list[Node]) -> None:
    """Replaces the view `x[i]` with a copy, which is written back into `x` after each of `writes`."""
    base, dim, _ = select.args
    at = _index_list(dim, base.meta["val"].ndim, position)
    taken = insert(module, _aten.index.Tensor, base, at)
    select.replace_all_uses_with(taken)
    for write in writes:
        with module.graph.inserting_after(write):  # for x[i][j], the copy of [j] is handled later and written first
            insert(module, _aten.index_put_.default, base, at, taken)


def replace_select_backward(module: GraphModule, node: Any, position: Node) -> None:
    """Replaces the gradient of `x[i]` with respect to `x`."""
    grad, sizes, dim, _ = node.args
    zeros = insert(module, _aten.new_zeros.default, grad, sizes)
    at = _index_list(dim, len(sizes), position)
    node.replace_all_uses_with(insert(module, _aten.index_put.default, zeros, at, grad))


def _index_list(dim: int, ndim: int, position: Node) -> list[Any]:
    return [*[None] * (dim % ndim), position]


def write_unfold_back(module: GraphModule) -> bool:
    """Writes changes of `x.unfold(dim, size, step)` back into `x`; returns whether there are any."""
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
                for offset in range(size):  # the elements at one offset in all windows are a slice of x
                    end = offset + (value.shape[dim] - 1) * step + 1
                    part = insert(module, _aten.slice.Tensor, base, dim, offset, end, step)
                    insert(module, _aten.copy_.default, part, insert(module, _aten.select.int, windows, -1, offset))
    return bool(found)


def refuse_writes_into_copies(module: GraphModule) -> None:
    """Raises a ValueError if the function differentiates a write into `x[i]` other than `x[i] = value`."""
    nodes: list[Any] = list(module.graph.nodes)
    copies = [node for node in nodes if node.target is _aten.index.Tensor and not any(map(_ndim, node.args[1]))]
    if any(writes_through(nodes, copies).values()):
        raise ValueError(
            "jit: the function differentiates what it writes into x[i] with a tensor i, which is possible only for "
            "x[i] = value; write it in that form"
        )


def _ndim(copy_of_index: Node | None) -> int:
    return 0 if copy_of_index is None else copy_of_index.meta["val"].ndim


def refuse_overlapping_writes(module: GraphModule) -> None:
    """Raises a ValueError if an operation writes into a tensor with several elements at the same memory location."""
    overlapping = {node for node in module.graph.nodes if _may_overlap(node.meta.get("val"))}
    for node in module.graph.nodes:
        if mutated_args(node) & overlapping:
            raise ValueError(
                f"jit: the function writes ({node.target}) into a tensor with several elements at the same memory "
                "location, such as one from expand() or unfold(); clone() it first"
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
    """Returns, for each of `views`, the operations that write into it or into a view of it.

    Raises:
        ValueError: the function writes into the base of a view directly, and uses the view afterwards.
    """
    position = {node: number for number, node in enumerate(nodes)}
    return {view: _writes_through(view, position) for view in views}


def _writes_through(view: Node, position: dict[Node, int]) -> list[Node]:
    views = {view}
    for node in position:
        one_of_several = node.target is operator.getitem and node.args[0] in views
        if one_of_several or any(parts & views for _, parts in aliased_args(node)):
            views.add(node)
    last_use = max((position[user] for each in views for user in each.users), default=0)
    after = [node for node in position if position[node] > position[view] and mutated_args(node)]
    through = [node for node in after if mutated_args(node) & views]
    others = [
        node
        for node in after
        if not mutated_args(node) & views and storage_id(view) in map(storage_id, mutated_args(node))
    ]
    if any(position[node] < last_use for node in others) and (through or view.target is not _aten.unfold.default):
        raise ValueError(
            "jit: the function uses a view of x, x[i] with a tensor i or x.unfold(...), after it wrote into x; take "
            "the view again after the write, or clone() it before"
        )
    return through
