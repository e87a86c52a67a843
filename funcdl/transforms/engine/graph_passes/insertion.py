"""Inserting an operation into a traced graph."""

from __future__ import annotations

from typing import Any

from torch.fx import GraphModule, Node
from torch.fx.node import map_arg


def insert(module: GraphModule, target: Any, *args: Any, **kwargs: Any) -> Node:
    """Inserts a call of `target` at the graph's insertion point, and computes its result for fake tensors."""
    node = module.graph.call_function(target, args, kwargs)
    node.meta["val"] = target(*map_arg(args, lambda arg: arg.meta["val"]), **kwargs)
    return node
