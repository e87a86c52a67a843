"""Operations that Inductor writes out as slow loops on the CPU, put otherwise."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg
from torch.library import custom_op

from funcdl.transforms.writes import changed_memory, memory

_aten = torch.ops.aten


def rewrite(module: GraphModule) -> None:
    """Rewrites them all, without a change of any result."""
    _compare_for_nan(module)
    _keep_gradients_of_tables(module)
    _prepare_weights(module)


def _compare_for_nan(module: GraphModule) -> None:
    """Writes `isnan(x)` as `x != x`: Inductor calls the former number by number, through memory."""
    for node in module.graph.find_nodes(op="call_function", target=_aten.isnan.default):
        if node.meta["val"].device.type == "cpu":
            node.target = _aten.ne.Tensor
            node.args = (node.args[0], node.args[0])


def _keep_gradients_of_tables(module: GraphModule) -> None:
    """Puts an operator, which Inductor only calls, in the place of this gradient."""
    for node in module.graph.find_nodes(op="call_function", target=_aten.embedding_dense_backward.default):
        if node.meta["val"].device.type == "cpu":
            node.target = torch.ops.funcdl.embedding_gradient.default


@custom_op("funcdl::embedding_gradient", mutates_args=())
def _embedding_gradient(grad: Tensor, indices: Tensor, rows: int, padding_idx: int, by_frequency: bool) -> Tensor:
    """The gradient of a table, to whose rows Inductor adds number by number and atomically."""
    return _aten.embedding_dense_backward(grad, indices, rows, padding_idx, by_frequency)


@_embedding_gradient.register_fake
def _(grad: Tensor, indices: Tensor, rows: int, padding_idx: int, by_frequency: bool) -> Tensor:
    return grad.new_empty(rows, grad.shape[-1])


def _prepare_weights(module: GraphModule) -> None:
    """Computes once what `lerp` makes of a 0-dim weight, as the average of an optimizer has.

    `lerp(start, end, w)` is `start + w (end - start)` where `|w| < 1/2`, else `end + (w - 1) (end - start)`. Inductor
    would compare and subtract again for each vector of numbers.
    """
    graph = module.graph
    found = graph.find_nodes(op="call_function", target=_aten.lerp.Tensor)
    changed = changed_memory(graph) if found else set()
    prepared: dict[Node, tuple[Node, Node]] = {}
    for node in found:
        start, end, weight = node.args
        value = node.meta["val"]
        if not value.ndim or value.is_complex() or not value.is_cpu:
            continue
        if weight.meta["val"].ndim or memory(weight) in changed:
            continue
        with graph.inserting_before(node):
            if weight not in prepared:
                near_start = add(module, _aten.lt.Scalar, add(module, _aten.abs.default, weight), 0.5)
                less_one = add(module, _aten.sub.Tensor, weight, 1)
                factor = add(module, _aten.where.self, near_start, weight, less_one)
                prepared[weight] = (_stored(module, near_start), _stored(module, factor))
            near_start, factor = prepared[weight]
            base = add(module, _aten.where.self, near_start, start, end)
            step = add(module, _aten.mul.Tensor, factor, add(module, _aten.sub.Tensor, end, start))
            node.replace_all_uses_with(add(module, _aten.add.Tensor, base, step))
        graph.erase_node(node)


def _stored(module: GraphModule, scalar: Node) -> Node:
    """Has Inductor store a scalar, as it does with what it takes a strided view of."""
    return add(module, _aten.as_strided.default, scalar, [], [])


def add(module: GraphModule, target: Any, *args: Any, **kwargs: Any) -> Node:
    """Adds an operation where the graph is being changed, with what it returns for the tensors without data."""
    node = module.graph.call_function(target, args, kwargs)
    node.meta["val"] = target(*map_arg(args, lambda arg: arg.meta["val"]), **kwargs)
    return node
