"""Which arguments an operation of a traced graph writes into or views, and in which memory they lie."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Graph, Node


def written(node: Node) -> set[Node]:
    """The arguments of an operation that it writes into."""
    return {part for alias, parts in aliases(node) if alias.is_write for part in parts}


def aliases(node: Node) -> list[tuple[Any, set[Node]]]:
    """For each argument of an operation that is written or viewed, how, and the nodes in it."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return []
    specs = node.target._schema.arguments
    values = [*node.args, *(node.kwargs.get(spec.name) for spec in specs[len(node.args) :])]
    return [(spec.alias_info, _nodes(v)) for spec, v in zip(specs, values, strict=True) if spec.alias_info is not None]


def memory(node: Node) -> int:
    """What tells apart the memory in which a tensor of a traced graph lies; a view of it lies in the same."""
    return node.meta["val"].untyped_storage()._cdata


def changed_memory(graph: Graph) -> set[int]:
    """The memory into which some operation of a graph writes."""
    return {memory(part) for node in graph.nodes for part in written(node)}


def _nodes(argument: Any) -> set[Node]:
    parts = argument if isinstance(argument, (list, tuple)) else (argument,)
    return {part for part in parts if isinstance(part, Node)}
