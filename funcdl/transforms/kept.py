"""Operations that a compiled graph keeps as torch's own, since Inductor writes them out as slower loops."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.library import custom_op

_aten = torch.ops.aten


def keep(graph: GraphModule) -> None:
    """Puts an operator, which Inductor only calls, in the place of each of these operations on the CPU."""
    for node in graph.graph.find_nodes(op="call_function", target=_aten.embedding_dense_backward.default):
        if node.meta["val"].device.type == "cpu":
            node.target = torch.ops.funcdl.embedding_gradient.default


@custom_op("funcdl::embedding_gradient", mutates_args=())
def _embedding_gradient(grad: Tensor, indices: Tensor, rows: int, padding_idx: int, by_frequency: bool) -> Tensor:
    """The gradient of a table, to whose rows Inductor adds number by number and atomically."""
    return _aten.embedding_dense_backward(grad, indices, rows, padding_idx, by_frequency)


@_embedding_gradient.register_fake
def _(grad: Tensor, indices: Tensor, rows: int, padding_idx: int, by_frequency: bool) -> Tensor:
    return grad.new_empty(rows, grad.shape[-1])
