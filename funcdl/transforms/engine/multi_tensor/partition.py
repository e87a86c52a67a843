"""Finds the updates of donated leaves in a traced graph that a multi-tensor kernel can compute."""

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
    """An update of one or more leaves of the same shape: its nodes, and the leaves and scalars that it uses."""

    nodes: list[Node]
    leaves: list[Node]
    scalars: list[Node]


def find_updates(nodes: list[Node]) -> list[Update]:
    """Returns the updates that can be moved behind the rest of the graph without changing its results."""
    writes = _last_writes(nodes)
    group_of: dict[Node, set[Node]] = {node: {node} for node in writes}

    def join(node: Node, others: Iterable[Node]) -> None:
        joined = {node}.union(*(group_of[other] for other in others))
        group_of.update(dict.fromkeys(joined, joined))

    for node in reversed(nodes):
        if (
            node not in group_of
            and node.users
            and all(user in group_of for user in node.users)
            and _is_elementwise(node)
        ):
            join(node, node.users)
    for write in writes:
        (leaf,) = mutated_args(write)
        readers = [reader for reader in leaf.users if reader in group_of]  # they have to run before the write
        join(write, [write, *readers])
    position = {node: index for index, node in enumerate(nodes)}
    updates = []
    for members in {id(members): members for members in group_of.values()}.values():
        ordered = sorted(members, key=position.__getitem__)
        read = [node for node in dict.fromkeys(n for m in ordered for n in m.all_input_nodes) if node not in members]
        update = Update(ordered, [n for n in read if n.meta["val"].ndim], [n for n in read if not n.meta["val"].ndim])
        if _is_contiguous_on_cpu(update) and _mutates_only_own_tensors(update, writes):
            updates.append(update)
    return _movable_to_end(updates, nodes)


def _last_writes(nodes: list[Node]) -> dict[Node, None]:
    """Returns the nodes at the end of a graph that overwrite donated leaves with results."""
    writes: dict[Node, None] = {}
    for node in reversed(nodes[:-1]):
        if node.target is not _aten.copy_.default or any(part.op != "placeholder" for part in mutated_args(node)):
            break
        if _is_elementwise(node):
            writes[node] = None
    return writes


def _is_elementwise(node: Node) -> bool:
    """Whether an operation computes each element on the CPU from scalars and the same element of other leaves."""
    if not is_pointwise(node) or not has_cpp(node):
        return False
    value = node.meta["val"]
    shapes = {part.meta["val"].shape for part in node.all_input_nodes} - {torch.Size()}
    return value.ndim > 0 and shapes == {value.shape} and value.device.type == "cpu"


def is_pointwise(node: Node) -> bool:
    """Whether an operation is element-wise; copies and casts count, too."""
    target = node.target
    if not isinstance(target, _torch.OpOverload) or "memory_format" in node.kwargs:
        return False
    if torch.Tag.pointwise not in target.tags and target not in (_aten.copy_.default, _torch.to_copy):
        return False
    return all(isinstance(part.meta.get("val"), Tensor) for part in (node, *node.all_input_nodes))


def _is_contiguous_on_cpu(update: Update) -> bool:
    """Whether all inputs are contiguous CPU tensors without lazy negation or conjugation."""
    read = [node.meta["val"] for node in (*update.leaves, *update.scalars)]
    as_it_is = [value.is_contiguous() and not value.is_neg() and not value.is_conj() for value in read]
    return all(as_it_is) and all(value.device.type == "cpu" for value in read)


def _mutates_only_own_tensors(update: Update, writes: dict[Node, None]) -> bool:
    """Whether an update, except for its last writes, writes only into tensors that it created."""
    within = [part for node in update.nodes if node not in writes for part in mutated_args(node)]
    return set(within) <= set(update.nodes)


def _movable_to_end(updates: list[Update], nodes: list[Node]) -> list[Update]:
    """Returns the updates whose inputs nothing else overwrites before the end of the graph."""
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
    """Returns a key that is equal for updates with the same operations and dtypes, whatever their shapes and inputs."""
    names = {node: f"node{index}" for index, node in enumerate(update.nodes)}
    names |= {node: f"leaf{index}" for index, node in enumerate(update.leaves)}
    names |= {node: f"scalar{index}" for index, node in enumerate(update.scalars)}

    def calls(node: Node) -> str:
        return f"{node.target}({map_arg((node.args, node.kwargs), names.__getitem__)})"

    dtypes = [node.meta["val"].dtype for node in (*update.leaves, *update.scalars)]
    return (*dtypes, *map(calls, update.nodes))
