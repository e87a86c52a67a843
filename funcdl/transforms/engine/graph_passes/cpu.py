"""Replaces operations that Inductor compiles to slow loops on the CPU with equivalent ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.library import custom_op

from funcdl import _torch
from funcdl.transforms.engine.aliasing import mutated_storages, storage_id
from funcdl.transforms.engine.graph_passes.insertion import insert

_aten = torch.ops.aten


def optimize_for_cpu(module: GraphModule) -> None:
    """Applies all replacements; results do not change."""
    _compare_for_nan(module)
    _call_embedding_gradients(module)
    _share_lerp_weights(module)


def _compare_for_nan(module: GraphModule) -> None:
    """Replaces `isnan(x)` with `x != x`, because Inductor does not vectorize `isnan`."""
    for node in module.graph.find_nodes(op="call_function", target=_aten.isnan.default):
        if node.meta["val"].device.type == "cpu":
            node.target = _aten.ne.Tensor
            node.args = (node.args[0], node.args[0])


def _call_embedding_gradients(module: GraphModule) -> None:
    """Replaces the gradient of an embedding table with our own operator, which Inductor does not decompose."""
    for node in module.graph.find_nodes(op="call_function", target=_aten.embedding_dense_backward.default):
        if node.meta["val"].device.type == "cpu":
            node.target = _torch.own_operator("embedding_gradient")


@custom_op("funcdl::embedding_gradient", mutates_args=())
def _embedding_gradient(grad: Tensor, indices: Tensor, rows: int, padding_idx: int, by_frequency: bool) -> Tensor:
    """The gradient of an embedding table by torch's kernel; Inductor's loop adds one number at a time, atomically."""
    return _aten.embedding_dense_backward(grad, indices, rows, padding_idx, by_frequency)


@_embedding_gradient.register_fake
def _(grad: Tensor, indices: Tensor, rows: int, padding_idx: int, by_frequency: bool) -> Tensor:
    return grad.new_empty(rows, grad.shape[-1])


def _share_lerp_weights(module: GraphModule) -> None:
    """Computes what `lerp` derives from a 0-dim weight once for all leaves, as in an optimizer's moving averages.

    `lerp(start, end, w)` is `start + w (end - start)` where `|w| < 1/2`, else `end + (w - 1) (end - start)`. Inductor
    would repeat the comparison and subtraction of `w` in the innermost loop.
    """
    graph = module.graph
    found = graph.find_nodes(op="call_function", target=_aten.lerp.Tensor)
    changed = mutated_storages(graph) if found else set()
    shared: dict[Node, tuple[Node, Node]] = {}
    for node in found:
        start, end, weight = node.args
        value = node.meta["val"]
        if not value.ndim or value.is_complex() or not value.is_cpu:
            continue
        if weight.meta["val"].ndim or storage_id(weight) in changed:
            continue
        with graph.inserting_before(node):
            if weight not in shared:
                near_start = insert(module, _aten.lt.Scalar, insert(module, _aten.abs.default, weight), 0.5)
                less_one = insert(module, _aten.sub.Tensor, weight, 1)
                factor = insert(module, _aten.where.self, near_start, weight, less_one)
                shared[weight] = (_materialize(module, near_start), _materialize(module, factor))
            near_start, factor = shared[weight]
            base = insert(module, _aten.where.self, near_start, start, end)
            step = insert(module, _aten.mul.Tensor, factor, insert(module, _aten.sub.Tensor, end, start))
            node.replace_all_uses_with(insert(module, _aten.add.Tensor, base, step))
        graph.erase_node(node)


def _materialize(module: GraphModule, scalar: Node) -> Node:
    """Makes Inductor store a scalar instead of recomputing it for each leaf: the base of a strided view is stored."""
    return insert(module, _aten.as_strided.default, scalar, [], [])
