"""Replaces Python numbers that a traced function took from 0-dim tensors by the tensors themselves.

A graph is made once for all values. So `x[i]` or `x.add(y, alpha=h)`, with 0-dim tensors `i` and `h`, become operations
of tensors; what has to be known beforehand, such as a size or the branch of an `if`, is an error.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import SymBool, SymFloat, SymInt, Tensor
from torch.fx import GraphModule, Node

from funcdl import _torch
from funcdl.transforms.engine.graph_passes import views
from funcdl.transforms.engine.graph_passes.insertion import insert
from funcdl.transforms.engine.value_errors import ValueAskedFor

_aten = torch.ops.aten


def decompositions() -> dict[Any, Callable[..., Any]]:
    """What `make_fx` calls in the place of an operation where the function takes a value.

    A value is taken from a copy of its tensor, which nothing writes into; the copy also brings a tensor that the body
    of a loop closes over into the body's graph. Subtraction would ask whether the value is 1.
    """
    copies: list[Tensor] = []  # kept, so that no other tensor can be taken for one of them

    def item(tensor: Tensor) -> Any:
        if not _torch.is_fake(tensor) or any(tensor is copy for copy in copies):
            return NotImplemented
        if tensor.is_complex():
            raise ValueAskedFor("as a complex number")
        copies.append(_aten.clone.default(tensor))
        return _torch.local_scalar_dense(copies[-1])

    def subtract(tensor: Tensor, other: Any, *, alpha: Any = 1) -> Any:
        if isinstance(alpha, (SymInt, SymFloat)) and isinstance(other, Tensor):
            return _aten.add.Tensor(tensor, -other, alpha=alpha)
        return NotImplemented

    def subtract_(tensor: Tensor, other: Any, *, alpha: Any = 1) -> Any:
        if isinstance(alpha, (SymInt, SymFloat)) and isinstance(other, Tensor):
            return _aten.add_.Tensor(tensor, -other, alpha=alpha)
        return NotImplemented

    return {_torch.local_scalar_dense: item, _aten.sub.Tensor: subtract, _aten.sub_.Tensor: subtract_}


def compute_with_tensors(module: GraphModule) -> bool:
    """Puts tensors in the place of the values that a graph takes of them; returns whether it took any.

    Raises:
        ValueAskedFor: a value is a size, a dimension or something else that no tensor can stand for.
        ValueError: `x` is written while a result of `x[i]` is in use, which would have to follow.
    """
    graph = module.graph
    if not graph.find_nodes(op="call_function", target=_torch.local_scalar_dense):
        return False
    nodes = list(graph.nodes)
    selects = [node for node in nodes if node.target is _aten.select.int and _is_value(node.args[2])]
    through = views.writes_through(nodes, selects)
    for node in nodes:
        if _is_value(node) or not any(_is_value(part) for part in node.all_input_nodes):
            continue
        with graph.inserting_before(node):
            if node in through:
                views.copy_index(module, node, _as_tensor(module, node.args[2], torch.int64), through[node])
            elif node.target is _aten.select_backward.default:
                views.index_backward(module, node, _as_tensor(module, node.args[3], torch.int64))
            else:
                node.replace_all_uses_with(_with_tensors(module, node))
        graph.erase_node(node)
    graph.eliminate_dead_code()
    return True


def _is_value(node: Any) -> bool:
    return isinstance(node, Node) and isinstance(node.meta.get("val"), (SymInt, SymFloat, SymBool))


_ARITHMETIC = {
    operator.add: _aten.add.Tensor,
    operator.sub: _aten.sub.Tensor,
    operator.mul: _aten.mul.Tensor,
    operator.neg: _aten.neg.default,
}


def _as_tensor(module: GraphModule, value: Any, dtype: torch.dtype) -> Node:
    """The 0-dim tensor that a value is taken from, or computed from in the precision of Python's numbers."""
    if not isinstance(value, Node):
        return insert(module, _aten.scalar_tensor.default, value, dtype=dtype)
    tensor: Any
    if value.target is _torch.local_scalar_dense:
        (tensor,) = value.args
    elif value.target in _ARITHMETIC:
        exact = torch.float64 if isinstance(value.meta["val"], SymFloat) else torch.int64
        tensor = insert(module, _ARITHMETIC[value.target], *(_as_tensor(module, part, exact) for part in value.args))
    else:
        raise ValueAskedFor(f"{value.target}")
    return tensor if tensor.meta["val"].dtype == dtype else insert(module, _torch.to_copy, tensor, dtype=dtype)


_FILLED = {
    _aten.full.default: "fill_value",
    _aten.full_like.default: "fill_value",
    _aten.new_full.default: "fill_value",
    _aten.scalar_tensor.default: "s",
}
_SCALED = {
    **dict.fromkeys(("aten::add", "aten::sub", "aten::add_", "aten::sub_"), ("alpha", "other")),
    **dict.fromkeys(("aten::addcmul", "aten::addcdiv", "aten::addcmul_", "aten::addcdiv_"), ("value", "tensor1")),
}


def _with_tensors(module: GraphModule, node: Node) -> Node:
    """The operation that computes with tensors what `node` computes with values."""
    target, result = node.target, node.meta.get("val")
    if not isinstance(target, _torch.OpOverload) or not isinstance(result, Tensor):
        raise ValueAskedFor(f"{target}")
    specs = _torch.schema(target).arguments
    args: dict[str, Any] = {spec.name: arg for spec, arg in zip(specs, node.args, strict=False)}
    args |= node.kwargs
    if target in _FILLED and _is_value(value := args[_FILLED[target]]):
        zeros = _called(module, target, args | {_FILLED[target]: 0, "dtype": result.dtype})
        return insert(module, _aten.fill.Tensor, zeros, _as_tensor(module, value, result.dtype))
    factor, scaled = _SCALED.get(_torch.schema(target).name, ("", ""))
    if _is_value(args.get(factor)):
        by = _as_tensor(module, args.pop(factor), _dtype_beside(args[scaled].meta["val"], 1.0))
        args[scaled] = insert(module, _aten.mul.Tensor, args[scaled], by)
    return _cast(module, _called(module, _of_tensors(target, args), args), result.dtype)


def _of_tensors(target: Any, args: dict[str, Any]) -> Any:
    """The overload of an operation that takes tensors for all its values."""
    names = [spec.name for spec in _torch.schema(target).arguments]
    values = {name for name, arg in args.items() if _is_value(arg)}
    in_lists = any(_is_value(part) for arg in args.values() if isinstance(arg, (list, tuple)) for part in arg)
    for name in target.overloadpacket.overloads():
        overload = getattr(target.overloadpacket, name)
        takes_tensor = {spec.name for spec in _torch.schema(overload).arguments if "Tensor" in str(spec.type)}
        if (
            [spec.name for spec in _torch.schema(overload).arguments] == names
            and values <= takes_tensor
            and not in_lists
        ):
            return overload
    raise ValueAskedFor(f"{target}")


def _called(module: GraphModule, target: Any, args: dict[str, Any]) -> Node:
    beside: Any = next((arg.meta["val"] for arg in args.values() if isinstance(arg, Node) and not _is_value(arg)), None)
    given: list[Any] = []
    named: dict[str, Any] = {}
    for spec in _torch.schema(target).arguments:
        if spec.name not in args:
            continue
        arg = args[spec.name]
        if "Tensor" in str(spec.type) and (_is_value(arg) or isinstance(arg, (int, float))):
            number = arg.meta["val"] if isinstance(arg, Node) else arg
            arg = _as_tensor(module, arg, _dtype_beside(beside, number))
        if spec.kwarg_only or len(given) < len(named):
            named[spec.name] = arg
        else:
            given.append(arg)
    return insert(module, target, *given, **named)


def _dtype_beside(tensor: Tensor | None, number: Any) -> torch.dtype:
    """The dtype in which torch computes with a tensor and a number of Python."""
    if tensor is None:
        raise ValueAskedFor("a new tensor of it")
    kind = 1.0 if isinstance(number, (float, SymFloat)) else True if isinstance(number, (bool, SymBool)) else 1
    dtype = torch.result_type(tensor, kind)
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _cast(module: GraphModule, node: Node, dtype: torch.dtype) -> Node:
    return node if node.meta["val"].dtype == dtype else insert(module, _torch.to_copy, node, dtype=dtype)
