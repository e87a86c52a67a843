"""The pieces of a traced graph that `outlining` may cut out: updates of donated leaves, computed element by element."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg

from funcdl.transforms.kernels import can_be_written
from funcdl.transforms.writes import memory, written

_aten = torch.ops.aten


class Piece(NamedTuple):
    """Nodes to be computed together, the leaves of their shape that they read and write, and the scalars they read."""

    nodes: list[Node]
    leaves: list[Node]
    scalars: list[Node]


def pieces_of(nodes: list[Node]) -> list[Piece]:
    """All that could be cut out without a change of what is computed."""
    writes = _last_writes(nodes)
    together: dict[Node, set[Node]] = {node: {node} for node in writes}

    def join(node: Node, others: Iterable[Node]) -> None:
        joined = {node}.union(*(together[other] for other in others))
        together.update(dict.fromkeys(joined, joined))

    for node in reversed(nodes):
        if node not in together and node.users and all(user in together for user in node.users) and _by_element(node):
            join(node, node.users)
    for write in writes:
        (leaf,) = written(write)
        before_it = [reader for reader in leaf.users if reader in together]
        join(write, [write, *before_it])
    position = {node: index for index, node in enumerate(nodes)}
    pieces = []
    for members in {id(members): members for members in together.values()}.values():
        ordered = sorted(members, key=position.__getitem__)
        read = [node for node in dict.fromkeys(n for m in ordered for n in m.all_input_nodes) if node not in members]
        piece = Piece(ordered, [n for n in read if n.meta["val"].ndim], [n for n in read if not n.meta["val"].ndim])
        if _is_flat(piece) and _writes_own_alone(piece, writes):
            pieces.append(piece)
    return _independent(pieces, nodes)


def _last_writes(nodes: list[Node]) -> dict[Node, None]:
    """The nodes at the end of a graph that write a result over a donated leaf; nothing is computed after them."""
    writes: dict[Node, None] = {}
    for node in reversed(nodes[:-1]):
        if node.target is not _aten.copy_.default or any(part.op != "placeholder" for part in written(node)):
            break
        if _by_element(node):
            writes[node] = None
    return writes


def _by_element(node: Node) -> bool:
    """Whether each element of a leaf is computed on the CPU from the same elements of others, and from scalars."""
    if not is_pointwise(node) or not can_be_written(node):
        return False
    value = node.meta["val"]
    shapes = {part.meta["val"].shape for part in node.all_input_nodes} - {torch.Size()}
    return value.ndim > 0 and shapes == {value.shape} and value.device.type == "cpu"


def is_pointwise(node: Node) -> bool:
    """Whether an operation, or a copy or cast, computes each element of a tensor by itself."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload) or "memory_format" in node.kwargs:
        return False
    if torch.Tag.pointwise not in target.tags and target not in (_aten.copy_.default, _aten._to_copy.default):
        return False
    return all(isinstance(part.meta.get("val"), Tensor) for part in (node, *node.all_input_nodes))


def _is_flat(piece: Piece) -> bool:
    """Whether all numbers are in the processor's memory as they are, those of a leaf one after the other."""
    read = [node.meta["val"] for node in (*piece.leaves, *piece.scalars)]
    as_it_is = [value.is_contiguous() and not value.is_neg() and not value.is_conj() for value in read]
    return all(as_it_is) and all(value.device.type == "cpu" for value in read)


def _writes_own_alone(piece: Piece, writes: dict[Node, None]) -> bool:
    """Whether it writes, but for its last writes, only into what it has made."""
    within = [part for node in piece.nodes if node not in writes for part in written(node)]
    return set(within) <= set(piece.nodes)


def _independent(pieces: list[Piece], nodes: list[Node]) -> list[Piece]:
    """Those that read the same values when they are computed after the rest of the graph, in whatever order."""
    position = {node: index for index, node in enumerate(nodes)}
    while True:
        owner = {node: number for number, piece in enumerate(pieces) for node in piece.nodes}
        writes: dict[int, list[tuple[int, int]]] = {}
        for node in nodes:
            for part in written(node):
                writes.setdefault(memory(part), []).append((position[node], owner.get(node, -1)))

        left = []
        for number, piece in enumerate(pieces):
            first = position[piece.nodes[0]]
            found = [write for node in (*piece.leaves, *piece.scalars) for write in writes.get(memory(node), ())]
            if all(at < first or by == number for at, by in found):
                left.append(piece)
        if len(left) == len(pieces):
            return pieces
        pieces = left


def form(piece: Piece) -> Any:
    """What is equal for two pieces that differ in nothing but shapes, and in which leaves and scalars they read."""
    names = {node: f"node{index}" for index, node in enumerate(piece.nodes)}
    names |= {node: f"leaf{index}" for index, node in enumerate(piece.leaves)}
    names |= {node: f"scalar{index}" for index, node in enumerate(piece.scalars)}

    def calls(node: Node) -> str:
        return f"{node.target}({map_arg((node.args, node.kwargs), names.__getitem__)})"

    dtypes = [node.meta["val"].dtype for node in (*piece.leaves, *piece.scalars)]
    return (*dtypes, *map(calls, piece.nodes))
