"""Mutation and aliasing in a traced graph: which arguments an operation writes into, and which tensors share memory."""

from __future__ import annotations

from typing import Any

from torch.fx import Graph, Node

from funcdl import _torch


def mutated_args(node: Node) -> set[Node]:
    """Returns the arguments that an operation writes into."""
    return {arg for alias, args in aliased_args(node) if alias.is_write for arg in args}


def aliased_args(node: Node) -> list[tuple[Any, set[Node]]]:
    """Returns torch's alias annotation and the nodes of each argument that an operation mutates or views."""
    if not isinstance(node.target, _torch.OpOverload):
        return []
    specs = _torch.schema(node.target).arguments
    values = [*node.args, *(node.kwargs.get(spec.name) for spec in specs[len(node.args) :])]
    return [(spec.alias_info, _nodes(v)) for spec, v in zip(specs, values, strict=True) if spec.alias_info is not None]


def storage_id(node: Node) -> int:
    """Returns a number that identifies the storage of a node's tensor; views share it."""
    (identifier,) = _torch.storage_ids([node.meta["val"]])
    return identifier


def mutated_storages(graph: Graph) -> set[int]:
    """Returns the `storage_id` of all tensors that operations of a graph write into."""
    return {storage_id(arg) for node in graph.nodes for arg in mutated_args(node)}


def _nodes(argument: Any) -> set[Node]:
    parts = argument if isinstance(argument, (list, tuple)) else (argument,)
    return {part for part in parts if isinstance(part, Node)}
