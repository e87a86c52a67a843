"""Indexing by a 0-dim tensor in a graph: `x[i]` as an operation of `x` and `i`, whose bounds are checked.

Eagerly it is a view, so what is written into it has to reach `x`.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.fx import GraphModule, Node

from funcdl.transforms.rewriting import add
from funcdl.transforms.writes import aliases, memory, written

_aten = torch.ops.aten


def index(module: GraphModule, select: Node, position: Node, writes: list[Node]) -> None:
    """Puts a copy of `x[i]` in the place of a view, and writes it back into `x` after each of `writes`."""
    base, dim, _ = select.args
    at = _at(dim, base.meta["val"].ndim, position)
    taken = add(module, _aten.index.Tensor, base, at)
    select.replace_all_uses_with(taken)
    for write in writes:
        with module.graph.inserting_after(write):  # x[i][j]: what is indexed last comes here last, and is written first
            add(module, _aten.index_put_.default, base, at, taken)


def index_backward(module: GraphModule, node: Node, position: Node) -> None:
    """The gradient of `x[i]` with respect to `x`."""
    grad, sizes, dim, _ = node.args
    zeros = add(module, _aten.new_zeros.default, grad, sizes)
    at = _at(dim, len(sizes), position)
    node.replace_all_uses_with(add(module, _aten.index_put.default, zeros, at, grad))


def _at(dim: int, ndim: int, position: Node) -> list[Any]:
    return [*[None] * (dim % ndim), position]


def writes_through(nodes: list[Node]) -> dict[Node, list[Node]]:
    """For each view `x[i]` with a value for `i`, the operations that write into it or into a view of it.

    Raises:
        ValueError: `x` is written otherwise while the view is in use.
    """
    place = {node: number for number, node in enumerate(nodes)}
    selects = [node for node in nodes if node.target is _aten.select.int and isinstance(node.args[2], Node)]
    return {select: _writes_through(select, place) for select in selects}


def _writes_through(select: Node, place: dict[Node, int]) -> list[Node]:
    views = {select}
    for node in place:
        one_of_several = node.target is operator.getitem and node.args[0] in views
        if one_of_several or any(parts & views for _, parts in aliases(node)):
            views.add(node)
    last_use = max((place[user] for view in views for user in view.users), default=0)
    writes = []
    for node in place:
        if place[node] > place[select] and (parts := written(node)):
            if parts & views:
                writes.append(node)
            elif place[node] < last_use and memory(select) in map(memory, parts):
                raise ValueError(
                    "jit: the function goes on with a view x[i], where i is a tensor, after it has written into x; "
                    "index again, or take x[i].clone()"
                )
    return writes
