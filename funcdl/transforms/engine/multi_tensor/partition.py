"""Finds the updates of donated leaves in a traced graph that one kernel may compute for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg

from funcdl import _torch
from funcdl.transforms.engine.aliasing import mutated_args, storage_id
from funcdl.transforms.engine.multi_tensor.codegen import has_cpp

_aten = torch.ops.aten


class Update(NamedTuple):
    """The nodes that update one or more leaves of one shape, the leaves that they read or write, and the scalars."""

    nodes: list[Node]
    leaves: list[Node]
    scalars: list[Node]


def find_updates(nodes: list[Node]) -> list[Update]:
    """Returns all that could be cut out of the graph without a change of what it computes."""
    writes = _last_writes(nodes)
    together: dict[Node, set[Node]] = {node: {node} for node in writes}

    def join(node: Node, others: Iterable[Node]) -> None:
        joined = {node}.union(*(together[other] for other in others))
        together.update(dict.fromkeys(joined, joined))

    for node in reversed(nodes):
        if (
            node not in together
            and node.users
            and all(user in together for user in node.users)
            and _is_elementwise(node)
        ):
            join(node, node.users)
    for write in writes:
        (leaf,) = mutated_args(write)
        before_it = [reader for reader in leaf.users if reader in together]
        join(write, [write, *before_it])
    position = {node: index for index, node in enumerate(nodes)}
    updates = []
    for members in {id(members): members for members in together.values()}.values():
        ordered = sorted(members, key=position.__getitem__)
        read = [node for node in dict.fromkeys(n for m in ordered for n in m.all_input_nodes) if node not in members]
        update = Update(ordered, [n for n in read if n.meta["val"].ndim], [n for n in read if not n.meta["val"].ndim])
        if _is_flat(update) and _writes_own_alone(update, writes):
            updates.append(update)
    return _independent(updates, nodes)


def _last_writes(nodes: list[Node]) -> dict[Node, None]:
    """The nodes at the end of a graph that write a result over a donated leaf; nothing is computed after them."""
    writes: dict[Node, None] = {}
    for node in reversed(nodes[:-1]):
        if node.target is not _aten.copy_.default or any(part.op != "placeholder" for part in mutated_args(node)):
            break
        if _is_elementwise(node):
            writes[node] = None
    return writes


def _is_elementwise(node: Node) -> bool:
    """Whether each element of a leaf is computed on the CPU from the same elements of others, and from scalars."""
    if not is_pointwise(node) or not has_cpp(node):
        return False
    value = node.meta["val"]
    shapes = {part.meta["val"].shape for part in node.all_input_nodes} - {torch.Size()}
    return value.ndim > 0 and shapes == {value.shape} and value.device.type == "cpu"


def is_pointwise(node: Node) -> bool:
    """Whether an operation, or a copy or cast, computes each element of a tensor by itself."""
    target = node.target
    if not isinstance(target, _torch.OpOverload) or "memory_format" in node.kwargs:
        return False
    if torch.Tag.pointwise not in target.tags and target not in (_aten.copy_.default, _torch.to_copy):
        return False
    return all(isinstance(part.meta.get("val"), Tensor) for part in (node, *node.all_input_nodes))


def _is_flat(update: Update) -> bool:
    """Whether all numbers are in the processor's memory as they are, those of a leaf one after the other."""
    read = [node.meta["val"] for node in (*update.leaves, *update.scalars)]
    as_it_is = [value.is_contiguous() and not value.is_neg() and not value.is_conj() for value in read]
    return all(as_it_is) and all(value.device.type == "cpu" for value in read)


def _writes_own_alone(update: Update, writes: dict[Node, None]) -> bool:
    """Whether it writes, apart from its last writes, only into what it has made."""
    within = [part for node in update.nodes if node not in writes for part in mutated_args(node)]
    return set(within) <= set(update.nodes)


def _independent(updates: list[Update], nodes: list[Node]) -> list[Update]:
    """Those that read the same values when they are computed after the rest of the graph, in whatever order."""
    position = {node: index for index, node in enumerate(nodes)}
    while True:
        owner = {node: number for number, update in enumerate(updates) for node in update.nodes}
        writes: dict[int, list[tuple[int, int]]] = {}
        for node in nodes:
            for part in mutated_args(node):
                writes.setdefault(storage_id(part), []).append((position[node], owner.get(node, -1)))

        left = []
        for number, update in enumerate(updates):
            first = position[update.nodes[0]]
            found = [write for node in (*update.leaves, *update.scalars) for write in writes.get(storage_id(node), ())]
            if all(at < first or by == number for at, by in found):
                left.append(update)
        if len(left) == len(updates):
            return updates
        updates = left


def signature(update: Update) -> Any:
    """What two updates have in common that differ in nothing but shapes, and in which leaves and scalars they read."""
    names = {node: f"node{index}" for index, node in enumerate(update.nodes)}
    names |= {node: f"leaf{index}" for index, node in enumerate(update.leaves)}
    names |= {node: f"scalar{index}" for index, node in enumerate(update.scalars)}

    def calls(node: Node) -> str:
        return f"{node.target}({map_arg((node.args, node.kwargs), names.__getitem__)})"

    dtypes = [node.meta["val"].dtype for node in (*update.leaves, *update.scalars)]
    return (*dtypes, *map(calls, update.nodes))
