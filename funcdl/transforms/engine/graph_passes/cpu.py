"""Replaces operations that Inductor compiles to slow loops on the CPU by equal ones."""

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
    """Replaces all such operations; no result changes."""
    _compare_for_nan(module)
    _call_embedding_gradients(module)
    _share_lerp_weights(module)


def _compare_for_nan(module: GraphModule) -> None:
    """Writes `isnan(x)` as `x != x`: Inductor calls the former number by number, through memory."""
    for node in module.graph.find_nodes(op="call_function", target=_aten.isnan.default):
        if node.meta["val"].device.type == "cpu":
            node.target = _aten.ne.Tensor
            node.args = (node.args[0], node.args[0])


def _call_embedding_gradients(module: GraphModule) -> None:
    """Calls torch's own kernel for the gradient of an embedding's table, by an operator that Inductor only calls."""
    for node in module.graph.find_nodes(op="call_function", target=_aten.embedding_dense_backward.default):
        if node.meta["val"].device.type == "cpu":
            node.target = _torch.own_operator("embedding_gradient")


@custom_op("funcdl::embedding_gradient", mutates_args=())
def _embedding_gradient(grad: Tensor, indices: Tensor, rows: int, padding_idx: int, by_frequency: bool) -> Tensor:
    """The gradient of a table; Inductor would add to its rows number by number and atomically."""
    return _aten.embedding_dense_backward(grad, indices, rows, padding_idx, by_frequency)


@_embedding_gradient.register_fake
def _(grad: Tensor, indices: Tensor, rows: int, padding_idx: int, by_frequency: bool) -> Tensor:
    return grad.new_empty(rows, grad.shape[-1])


def _share_lerp_weights(module: GraphModule) -> None:
    """Computes once for all leaves what `lerp` makes of a 0-dim weight, as in an optimizer's moving averages.

    `lerp(start, end, w)` is `start + w (end - start)` where `|w| < 1/2`, else `end + (w - 1) (end - start)`. Inductor
    would compare and subtract again for each vector of numbers.
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
    """Has Inductor store a scalar, as the base of a strided view, instead of computing it anew for each leaf."""
    return insert(module, _aten.as_strided.default, scalar, [], [])
