"""From a traced graph to statements, in the order of the program: each means what torch's operation means.

Which memory a tensor reads is asked of the tensors without data that the graph was traced with: they have shapes,
strides and offsets, and those of one storage are views of one buffer.
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from funcdl import _torch
from funcdl.transforms.engine.native import operations, rules
from funcdl.transforms.engine.native.ir import (
    C_TYPES,
    Buffer,
    Loop,
    Map,
    NotSupported,
    Statement,
    View,
    c_type,
    contiguous_strides,
)

aten = torch.ops.aten
_IGNORED_OPTIONS = {"memory_format", "dtype", "layout", "device", "pin_memory", "implicit", "non_blocking"}


class Lowering:
    """Collects the statements of a graph, its constants, and its results.

    Attributes:
        statements: what to compute, in order.
        constants: buffers of tensors that the graph holds, and these.
        written: the buffers of arguments that are written into.
    """

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.constants: list[tuple[Buffer, Tensor]] = []
        self.written: set[Buffer] = set()
        self._count = 0
        self._env: dict[Node, Any] = {}

    def run(self, graph: GraphModule, arguments: list[View]) -> list[View]:
        """Adds the statements of a graph for these arguments, and returns its results."""
        arguments_left = iter(arguments)
        for node in graph.graph.nodes:
            if node.op == "placeholder":
                self._env[node] = next(arguments_left)
            elif node.op == "get_attr":
                value = getattr(graph, node.target)
                self._env[node] = self._constant(value) if isinstance(value, Tensor) else value
            elif node.op == "call_function":
                self._env[node] = self._call(node)
            elif node.op == "output":
                results = [self._env[result] for result in node.args[0] if isinstance(result, Node)]
                if len(results) != len(node.args[0]):
                    raise NotSupported("a result that is no tensor")
                return results
            else:
                raise NotSupported(node.op)
        raise NotSupported("a graph without results")

    # Values.

    def new(self, shape: Any, dtype: torch.dtype, strides: Any = None, steps: Any = ()) -> View:
        """A view of a whole new buffer."""
        shape = tuple(map(int, shape))
        strides = contiguous_strides(shape) if strides is None else tuple(map(int, strides))
        if dtype not in C_TYPES:
            raise NotSupported(f"{dtype}")
        size = 1 + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
        if 0 in shape or size != View(None, shape, strides, 0, dtype).numel:  # type: ignore[arg-type]
            raise NotSupported(f"a new tensor of shape {shape} and strides {strides}")
        return View(self._buffer("t", size, dtype), shape, strides, 0, dtype, steps)

    def argument(self, example: Tensor) -> View:
        """The view of a tensor that is passed in."""
        if example.dtype not in C_TYPES or example.device.type != "cpu" or example.layout != torch.strided:
            raise NotSupported(f"an argument of {example.dtype} on {example.device}")
        if example.is_conj() or example.is_neg():
            raise NotSupported("an argument that is the negative or conjugate of its memory")
        if example.numel() == 0:
            raise NotSupported("an argument without elements")
        return View(
            self._buffer("x", 0, example.dtype, "argument"), tuple(example.shape), example.stride(), 0, example.dtype
        )

    def _buffer(self, prefix: str, size: int, dtype: torch.dtype, kind: str = "temporary") -> Buffer:
        self._count += 1
        return Buffer(f"{prefix}{self._count}", size, dtype, kind)

    def _constant(self, value: Tensor) -> View:
        view = self.argument(value)
        view.buffer.kind = "constant"
        self.constants.append((view.buffer, value))
        return view

    def map(self, out: View, expression: str, *inputs: View) -> View:
        """Adds a map; inputs are broadcast to the shape of `out`."""
        self.statements.append(Map(out, expression, tuple(view.expand(out.shape) for view in inputs)))
        return out

    # Operations.

    def _call(self, node: Node) -> Any:
        target = node.target
        args: Any = map_arg(node.args, lambda n: self._env[n])
        kwargs: Any = map_arg(node.kwargs, lambda n: self._env[n])
        if target is operator.getitem:
            return args[0][args[1]]
        if target is _torch.scan_op:
            return self._scan(*args)
        if not isinstance(target, _torch.OpOverload):
            raise NotSupported(str(target))
        name = _torch.schema(target).name.partition("::")[2]
        if "val" not in node.meta:
            raise NotSupported(f"{target}, of which nothing is known")
        value = node.meta["val"]
        if target.namespace == "funcdl":
            if name not in rules.RULES:
                raise NotSupported(str(target))
            return rules.RULES[name](self, value, *args, **kwargs)
        if target.namespace != "aten":
            raise NotSupported(str(target))
        base = self._viewed(node, target)
        if base is not None and not _torch.schema(target).is_mutable:
            return self._views_of(base, value)
        if name.endswith("_") and not name.endswith("__") and isinstance(args[0], View):
            return self._write(args[0], node, name.removesuffix("_"), args, kwargs)
        if _torch.schema(target).is_mutable:
            raise NotSupported(str(target))
        return self._compute(node, name, args, kwargs)

    def _viewed(self, node: Node, target: Any) -> Node | None:
        """The argument that an operation views."""
        for spec, arg in zip(_torch.schema(target).arguments, node.args, strict=False):
            if spec.alias_info is not None and isinstance(arg, Node):
                return arg
        return None

    def _views_of(self, base: Node, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [self._views_of(base, one) for one in value]
        of, fake = self._env[base], base.meta["val"]
        (base_id, view_id) = _torch.storage_ids([fake, value])
        if base_id != view_id or value.dtype.itemsize != of.dtype.itemsize or value.dtype not in C_TYPES:
            raise NotSupported(f"{value.dtype} of {of.dtype}, or a view that is a copy")
        if tuple(fake.stride()) != of.strides or tuple(fake.shape) != of.shape:
            raise NotSupported("a view of what lies otherwise than when it was traced")
        offset = of.offset + int(value.storage_offset()) - int(fake.storage_offset())
        return View(of.buffer, tuple(value.shape), tuple(value.stride()), offset, value.dtype, of.steps)

    def _write(self, target: View, node: Node, name: str, args: Any, kwargs: Any) -> View:
        """An operation in place: computed into the memory of its first argument."""
        if any(size > 1 and stride == 0 for size, stride in zip(target.shape, target.strides, strict=True)):
            raise NotSupported("a write into a tensor that reads elements again")
        if target.buffer.kind == "constant":
            raise NotSupported("a write into a tensor that the function closes over")
        if target.buffer.kind == "argument":
            self.written.add(target.buffer)
        fakes = [argument.meta["val"] for argument in node.all_input_nodes]
        common = functools.reduce(torch.promote_types, [torch.result_type(fakes[0], fake) for fake in fakes])
        if common != target.dtype and name != "copy":  # torch computes in the common dtype and then converts
            raise NotSupported(f"{name} in place of {target.dtype} in {common}")
        overlaps = [view for view in _views(args[1:]) if view.buffer is target.buffer and view != target]
        if name == "fill" and isinstance(args[1], View):  # by a 0-dim tensor
            name = "copy"
        if name in ("zero", "fill"):
            return self.map(target, operations.literal(args[1] if name == "fill" else 0, target.dtype))
        out = target
        if overlaps:  # what is read must not be what has just been written
            out = self.new(target.shape, target.dtype)
        expression, inputs = self._expression(name, list(args), kwargs, target.dtype)
        self.map(out, expression, *inputs)
        return self.map(target, "{0}", out) if overlaps else target

    def _expression(self, name: str, args: list[Any], kwargs: Any, dtype: torch.dtype) -> tuple[str, list[View]]:
        """The expression of an element-wise operation in `dtype`, and its inputs."""
        inputs: list[View] = []

        def operand(arg: Any) -> Any:
            if not isinstance(arg, View):
                return arg
            inputs.append(arg)
            place = f"{{{len(inputs) - 1}}}"
            return place if arg.dtype == dtype else f"({c_type(dtype)}){place}"

        options = {key: operand(value) for key, value in kwargs.items() if key not in _IGNORED_OPTIONS}
        if name == "clamp":
            args = [*args, *([None] * (3 - len(args)))]
            args[1:] = [options.pop(key, arg) for key, arg in zip(("min", "max"), args[1:], strict=True)]
        if name in ("add", "sub", "rsub") and len(args) == 3:
            options["alpha"] = operand(args.pop())
        if name == "copy":
            args = args[:2]
        operands = [operand(arg) for arg in args]
        return operations.pointwise(name, operands, options, dtype), inputs

    def _compute(self, node: Node, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        value = node.meta["val"]
        if rule := rules.RULES.get(name.strip("_")):
            return rule(self, value, *args, **kwargs)
        if isinstance(value, Tensor):
            if name in operations.COMPARISONS or name in operations.LOGICAL:
                return self._compare(node, name, args)
            if name in operations.FILLS:
                return self.map(self.like(value), operations.literal(operations.FILLS[name], value.dtype))
            try:
                expression, inputs = self._expression(name, list(args), kwargs, value.dtype)
                return self.map(self.like(value), expression, *inputs)
            except NotSupported:
                pass
        return self._decomposed(node)

    def like(self, value: Tensor) -> View:
        """A view of a new buffer that lies as the tensor of an operation's result does."""
        if value.storage_offset() != 0:
            raise NotSupported("a new tensor with an offset")
        return self.new(value.shape, value.dtype, value.stride())

    def _decomposed(self, node: Node) -> Any:
        """The statements of the simpler operations that torch has for one."""
        decomposition = _torch.decompositions().get(node.target)
        if decomposition is None or not node.all_input_nodes:
            raise NotSupported(str(node.target))
        nodes: list[Node] = []
        map_arg((node.args, node.kwargs), nodes.append)
        nodes = list(dict.fromkeys(nodes))
        place_of: Any = lambda n: _Place(nodes.index(n))  # noqa: E731
        spec: Any = map_arg((node.args, node.kwargs), place_of)

        def call(*values: Tensor) -> Any:
            args, kwargs = _filled(spec, values)
            result = decomposition(*args, **kwargs)
            return list(result) if isinstance(result, (tuple, list)) else [result]

        fakes = [n.meta["val"] for n in nodes]
        with fakes[0].fake_mode, _torch.disable_proxy_mode():
            graph = _torch.make_fx(call, _allow_non_fake_inputs=True)(*fakes)
        if any(inner.target is node.target for inner in graph.graph.nodes):
            raise NotSupported(str(node.target))
        results = self.run(graph, [self._env[n] for n in nodes])
        return results if isinstance(node.meta["val"], (tuple, list)) else results[0]

    def _compare(self, node: Node, name: str, args: list[Any]) -> View:
        value = node.meta["val"]
        fakes: Any = map_arg(node.args, lambda n: n.meta["val"])
        dtype = torch.result_type(*fakes)
        if dtype not in C_TYPES:
            raise NotSupported(f"{dtype}")
        sign = (operations.COMPARISONS | operations.LOGICAL)[name]
        words: list[str] = []
        inputs: list[View] = []
        for arg in args:
            if isinstance(arg, View):
                words.append(f"({c_type(dtype)}){{{len(inputs)}}}")
                inputs.append(arg)
            else:
                words.append(operations.literal(arg, dtype))
        return self.map(self.like(value), f"{words[0]} {sign} {words[1]}", *inputs)

    # Loops.

    def _scan(self, body: GraphModule, carries: list[View], xs: list[View], closed_over: Any) -> list[View]:
        length = xs[0].shape[0]
        self._count += 1
        variable = f"step{self._count}"
        kept = [self.map(self.new(view.shape, view.dtype), "{0}", view) for view in carries]
        rows = [
            View(x.buffer, x.shape[1:], x.strides[1:], x.offset, x.dtype, (*x.steps, (variable, x.strides[0])))
            for x in xs
        ]
        inputs = [*kept, *rows, *closed_over]
        for view, node in zip(inputs, body.graph.find_nodes(op="placeholder"), strict=True):
            if tuple(node.meta["val"].stride()) != view.strides:
                raise NotSupported("a loop over what lies otherwise than when it was traced")
        outside, self.statements = self.statements, []
        results = self.run(body, inputs)
        new, ys = results[: len(kept)], results[len(kept) :]
        stacked = [self.new((length, *y.shape), y.dtype) for y in ys]
        for out, y in zip(stacked, ys, strict=True):
            place = View(out.buffer, y.shape, out.strides[1:], 0, y.dtype, ((variable, out.strides[0]),))
            self.map(place, "{0}", y)
        if any(view.buffer in {carry.buffer for carry in kept} for view in new):  # bodies return copies
            raise NotSupported("a new carry that is an old one")
        for carry, value in zip(kept, new, strict=True):
            self.map(carry, "{0}", value)
        loop = Loop(variable, length, self.statements)
        self.statements = [*outside, loop]
        return [*kept, *stacked]


class _Place:
    """Stands for an argument in a call that is to be traced."""

    def __init__(self, index: int) -> None:
        self.index = index


def _filled(spec: Any, values: Any) -> Any:
    if isinstance(spec, _Place):
        return values[spec.index]
    if isinstance(spec, (list, tuple)):
        parts = [_filled(part, values) for part in spec]
        return tuple(parts) if isinstance(spec, tuple) else parts
    if isinstance(spec, dict):
        return {key: _filled(part, values) for key, part in spec.items()}
    return spec


def _views(part: Any) -> list[View]:
    if isinstance(part, View):
        return [part]
    if isinstance(part, (list, tuple)):
        return [view for one in part for view in _views(one)]
    return []
