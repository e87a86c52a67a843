"""Replaces Python numbers that a traced function took from 0-dim tensors with the tensors themselves.

A graph is traced once and has to be valid for all values. `x[i]` and `x.add(y, alpha=h)`, with 0-dim tensors `i` and
`h`, therefore become operations on tensors. A value that is needed while tracing, such as a size or the condition of an
`if`, is an error.
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
from funcdl.transforms.engine.value_errors import DataDependentError

_aten = torch.ops.aten


def decompositions() -> dict[Any, Callable[..., Any]]:
    """Returns the functions that `make_fx` calls instead of operations that take a value from a tensor.

    A value is taken from a copy of its tensor, so that later writes into the tensor do not change it. The copy also
    brings a tensor that the body of a loop closes over into the body's graph. Subtraction is replaced with addition,
    because it checks whether `alpha` is 1.
    """
    copies: list[Tensor] = []  # kept alive, so that no new tensor is mistaken for one of them

    def item(tensor: Tensor) -> Any:
        if not _torch.is_fake(tensor) or any(tensor is copy for copy in copies):
            return NotImplemented
        if tensor.is_complex():
            raise DataDependentError("as a complex number")
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
    """Replaces the values that a graph takes from tensors with the tensors; returns whether there were any.

    Raises:
        DataDependentError: a value is used where no tensor is possible, such as a size or a dimension.
        ValueError: the function writes into `x` while it still uses a view `x[i]`, which would have to change, too.
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
                views.copy_select(module, node, _as_tensor(module, node.args[2], torch.int64), through[node])
            elif node.target is _aten.select_backward.default:
                views.replace_select_backward(module, node, _as_tensor(module, node.args[3], torch.int64))
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
    """Returns the 0-dim tensor of a value; arithmetic of values is done in the precision of Python's numbers."""
    if not isinstance(value, Node):
        return insert(module, _aten.scalar_tensor.default, value, dtype=dtype)
    tensor: Any
    if value.target is _torch.local_scalar_dense:
        (tensor,) = value.args
    elif value.target in _ARITHMETIC:
        exact = torch.float64 if isinstance(value.meta["val"], SymFloat) else torch.int64
        tensor = insert(module, _ARITHMETIC[value.target], *(_as_tensor(module, part, exact) for part in value.args))
    else:
        raise DataDependentError(f"{value.target}")
    return tensor if tensor.meta["val"].dtype == dtype else insert(module, _torch.to_copy, tensor, dtype=dtype)


_FILL_ARGUMENTS = {
    _aten.full.default: "fill_value",
    _aten.full_like.default: "fill_value",
    _aten.new_full.default: "fill_value",
    _aten.scalar_tensor.default: "s",
}
_SCALED_ARGUMENTS = {
    **dict.fromkeys(("aten::add", "aten::sub", "aten::add_", "aten::sub_"), ("alpha", "other")),
    **dict.fromkeys(("aten::addcmul", "aten::addcdiv", "aten::addcmul_", "aten::addcdiv_"), ("value", "tensor1")),
}


def _with_tensors(module: GraphModule, node: Node) -> Node:
    """Inserts the operation that computes with tensors what `node` computes with values."""
    target, result = node.target, node.meta.get("val")
    if not isinstance(target, _torch.OpOverload) or not isinstance(result, Tensor):
        raise DataDependentError(f"{target}")
    specs = _torch.schema(target).arguments
    args: dict[str, Any] = {spec.name: arg for spec, arg in zip(specs, node.args, strict=False)}
    args |= node.kwargs
    if target in _FILL_ARGUMENTS and _is_value(value := args[_FILL_ARGUMENTS[target]]):
        zeros = _call(module, target, args | {_FILL_ARGUMENTS[target]: 0, "dtype": result.dtype})
        return insert(module, _aten.fill.Tensor, zeros, _as_tensor(module, value, result.dtype))
    factor, scaled = _SCALED_ARGUMENTS.get(_torch.schema(target).name, ("", ""))
    if _is_value(args.get(factor)):
        by = _as_tensor(module, args.pop(factor), _promoted_dtype(args[scaled].meta["val"], 1.0))
        args[scaled] = insert(module, _aten.mul.Tensor, args[scaled], by)
    return _cast(module, _call(module, _tensor_overload(target, args), args), result.dtype)


def _tensor_overload(target: Any, args: dict[str, Any]) -> Any:
    """Returns the overload of an operation that takes tensors in place of all values."""
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
    raise DataDependentError(f"{target}")


def _call(module: GraphModule, target: Any, args: dict[str, Any]) -> Node:
    other: Any = next((arg.meta["val"] for arg in args.values() if isinstance(arg, Node) and not _is_value(arg)), None)
    given: list[Any] = []
    named: dict[str, Any] = {}
    for spec in _torch.schema(target).arguments:
        if spec.name not in args:
            continue
        arg = args[spec.name]
        if "Tensor" in str(spec.type) and (_is_value(arg) or isinstance(arg, (int, float))):
            number = arg.meta["val"] if isinstance(arg, Node) else arg
            arg = _as_tensor(module, arg, _promoted_dtype(other, number))
        if spec.kwarg_only or len(given) < len(named):
            named[spec.name] = arg
        else:
            given.append(arg)
    return insert(module, target, *given, **named)


def _promoted_dtype(tensor: Tensor | None, number: Any) -> torch.dtype:
    """The dtype in which torch computes with a tensor and a Python number."""
    if tensor is None:
        raise DataDependentError("to create a tensor from it")
    kind = 1.0 if isinstance(number, (float, SymFloat)) else True if isinstance(number, (bool, SymBool)) else 1
    dtype = torch.result_type(tensor, kind)
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _cast(module: GraphModule, node: Node, dtype: torch.dtype) -> Node:
    return node if node.meta["val"].dtype == dtype else insert(module, _torch.to_copy, node, dtype=dtype)
