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
from funcdl.transforms.engine.native import operations
from funcdl.transforms.engine.native.ir import (
    C_TYPES,
    Buffer,
    Call,
    Loop,
    Map,
    MatMul,
    NotSupported,
    Reduce,
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
            method = getattr(self, f"_{name}", None)
            if method is None:
                raise NotSupported(str(target))
            return method(value, *args, **kwargs)
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
        special = getattr(self, f"_aten_{name.strip('_')}", None)
        if special is not None:
            return special(value, *args, **kwargs)
        if isinstance(value, Tensor):
            if name in operations.COMPARISONS or name in operations.LOGICAL:
                return self._compare(node, name, args)
            if name in operations.FILLS:
                return self.map(self._like(value), operations.literal(operations.FILLS[name], value.dtype))
            try:
                expression, inputs = self._expression(name, list(args), kwargs, value.dtype)
                return self.map(self._like(value), expression, *inputs)
            except NotSupported:
                pass
        return self._decomposed(node)

    def _like(self, value: Tensor) -> View:
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
        return self.map(self._like(value), f"{words[0]} {sign} {words[1]}", *inputs)

    def _aten_logical_not(self, value: Tensor, x: View) -> View:
        return self.map(self._like(value), "!{0}", x)

    def _aten_bitwise_not(self, value: Tensor, x: View) -> View:
        return self.map(self._like(value), "!{0}" if x.dtype == torch.bool else "~{0}", x)

    def _aten_where(self, value: Tensor, condition: View, x: Any, y: Any) -> View:
        words, inputs = [], [condition]
        for part in (x, y):
            if isinstance(part, View):
                words.append(f"({c_type(value.dtype)}){{{len(inputs)}}}")
                inputs.append(part)
            else:
                words.append(operations.literal(part, value.dtype))
        return self.map(self._like(value), f"{{0}} ? {words[0]} : {words[1]}", *inputs)

    def _aten_full(self, value: Tensor, size: Any, fill: Any, **_: Any) -> View:
        return self._filled(value, fill)

    def _aten_full_like(self, value: Tensor, x: View, fill: Any, **_: Any) -> View:
        return self._filled(value, fill)

    def _aten_new_full(self, value: Tensor, x: View, size: Any, fill: Any, **_: Any) -> View:
        return self._filled(value, fill)

    def _aten_scalar_tensor(self, value: Tensor, fill: Any, **_: Any) -> View:
        return self._filled(value, fill)

    def _filled(self, value: Tensor, fill: Any) -> View:
        if isinstance(fill, View):
            return self.map(self._like(value), f"({c_type(value.dtype)}){{0}}", fill)
        return self.map(self._like(value), operations.literal(fill, value.dtype))

    def _aten_lift_fresh_copy(self, value: Tensor, x: View) -> View:
        return self.map(self._like(value), "{0}", x)

    def _aten_arange(self, value: Tensor, *args: Any, **_: Any) -> View:
        start, step = (args[0], args[2] if len(args) > 2 else 1) if len(args) > 1 else (0, 1)
        if value.dtype.is_floating_point or not all(isinstance(number, int) for number in (start, step)):
            raise NotSupported("arange of floats")
        return self.map(self._like(value), f"{start}L + {step}L * {{index}}")

    # Reductions.

    def _aten_sum(self, value: Tensor, x: View, dims: Any = None, keepdim: bool = False, **_: Any) -> View:
        return self._reduced("sum", value, x, dims)

    def _aten_amax(self, value: Tensor, x: View, dims: Any = (), keepdim: bool = False) -> View:
        return self._reduced("larger", value, x, dims)

    def _aten_amin(self, value: Tensor, x: View, dims: Any = (), keepdim: bool = False) -> View:
        return self._reduced("smaller", value, x, dims)

    def _aten_mean(self, value: Tensor, x: View, dims: Any = None, keepdim: bool = False, **_: Any) -> View:
        total = self._reduced("sum", value, x, dims)
        count = operations.literal(x.numel // total.numel, value.dtype)
        return self.map(self._like(value), f"{{0}} / {count}", total)

    def _aten_linalg_vector_norm(
        self, value: Tensor, x: View, order: Any = 2, dims: Any = None, keepdim: bool = False, **_: Any
    ) -> View:
        if order != 2:
            raise NotSupported(f"a norm of order {order}")
        squares = self.map(self.new(x.shape, value.dtype), f"(({c_type(value.dtype)}){{0}}) * {{0}}", x)
        return self.map(self._like(value), "sqrt_({0})", self._reduced("sum", value, squares, dims))

    def _aten_var_mean(
        self, value: Any, x: View, dims: Any = None, *, correction: Any = 1, keepdim: bool = False
    ) -> list[View]:
        variance, mean = value
        kept = self._kept(x, dims)
        count = x.numel // kept.numel
        total = self._reduce_to(kept, "sum", x, dims)
        average = self.map(self.new(kept.shape, x.dtype), f"{{0}} / {operations.literal(count, x.dtype)}", total)
        squares = self.map(self.new(x.shape, x.dtype), "({0} - {1}) * ({0} - {1})", x, average)
        spread = self._reduce_to(self.new(kept.shape, x.dtype), "sum", squares, dims)
        degrees = operations.literal(max(0, count - (1 if correction is None else correction)), x.dtype)
        spread = self.map(self.new(kept.shape, x.dtype), f"{{0}} / {degrees}", spread)
        return [self._reshaped(spread, variance), self._reshaped(average, mean)]

    def _aten_var(
        self, value: Tensor, x: View, dims: Any = None, *, correction: Any = 1, keepdim: bool = False
    ) -> View:
        return self._aten_var_mean((value, value), x, dims, correction=correction)[0]

    def _aten_std(
        self, value: Tensor, x: View, dims: Any = None, *, correction: Any = 1, keepdim: bool = False
    ) -> View:
        return self.map(self._like(value), "sqrt_({0})", self._aten_var(value, x, dims, correction=correction))

    def _reduced(self, kind: str, value: Tensor, x: View, dims: Any) -> View:
        if x.dtype != value.dtype:  # counted in the dtype of the result
            x = self.map(self.new(x.shape, value.dtype), f"({c_type(value.dtype)}){{0}}", x)
        return self._reshaped(self._reduce_to(self._kept(x, dims), kind, x, dims), value)

    def _kept(self, x: View, dims: Any) -> View:
        reduced = _dims(x, dims)
        return self.new([1 if dim in reduced else size for dim, size in enumerate(x.shape)], x.dtype)

    def _reduce_to(self, out: View, kind: str, x: View, dims: Any) -> View:
        self.statements.append(Reduce(out, kind, x, _dims(x, dims)))
        return out

    def _reshaped(self, view: View, value: Tensor) -> View:
        """A contiguous view in the shape of a value, which has as many elements."""
        shape = tuple(value.shape)
        return View(view.buffer, shape, contiguous_strides(shape), view.offset, view.dtype, view.steps)

    # Matrices.

    def _aten_mm(self, value: Tensor, a: View, b: View) -> View:
        out = self._like(value)
        if not value.dtype.is_floating_point:
            raise NotSupported("a matrix product of whole numbers")
        self.statements.append(MatMul(out, a, b))
        return out

    _aten_bmm = _aten_mm

    def _aten_addmm(self, value: Tensor, bias: View, a: View, b: View, *, beta: Any = 1, alpha: Any = 1) -> View:
        if (beta, alpha) != (1, 1):
            raise NotSupported("addmm with factors")
        product = self._aten_mm(value, a, b)
        return self.map(self._like(value), "{0} + {1}", product, bias)

    _aten_baddbmm = _aten_addmm

    def _aten_mv(self, value: Tensor, a: View, b: View) -> View:
        column = View(b.buffer, (*b.shape, 1), (*b.strides, 0), b.offset, b.dtype, b.steps)
        out = self.new((a.shape[0], 1), value.dtype)
        self.statements.append(MatMul(out, a, column))
        return self._reshaped(out, value)

    def _aten_dot(self, value: Tensor, a: View, b: View) -> View:
        row = View(a.buffer, (1, *a.shape), (0, *a.strides), a.offset, a.dtype, a.steps)
        column = View(b.buffer, (*b.shape, 1), (*b.strides, 0), b.offset, b.dtype, b.steps)
        out = self.new((1, 1), value.dtype)
        self.statements.append(MatMul(out, row, column))
        return self._reshaped(out, value)

    # Joining and choosing.

    def _aten_cat(self, value: Tensor, parts: list[View], dim: int = 0) -> View:
        out = self._like(value)
        dim %= len(out.shape)
        start = 0
        for part in parts:
            if len(part.shape) != len(out.shape):
                raise NotSupported("cat of tensors without elements")
            offset = out.offset + start * out.strides[dim]
            self.map(View(out.buffer, part.shape, out.strides, offset, out.dtype), f"({c_type(out.dtype)}){{0}}", part)
            start += part.shape[dim]
        return out

    def _aten_stack(self, value: Tensor, parts: list[View], dim: int = 0) -> View:
        out = self._like(value)
        dim %= len(out.shape)
        shape = (*out.shape[:dim], *out.shape[dim + 1 :])
        strides = (*out.strides[:dim], *out.strides[dim + 1 :])
        for index, part in enumerate(parts):
            place = View(out.buffer, shape, strides, out.offset + index * out.strides[dim], out.dtype)
            self.map(place, f"({c_type(out.dtype)}){{0}}", part)
        return out

    def _aten_flip(self, value: Tensor, x: View, dims: Any) -> View:
        strides, offset = list(x.strides), x.offset
        for dim in _dims(x, dims) if dims else ():
            offset += (x.shape[dim] - 1) * strides[dim]
            strides[dim] = -strides[dim]
        backwards = View(x.buffer, x.shape, tuple(strides), offset, x.dtype, x.steps)
        return self.map(self._like(value), "{0}", backwards)

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
        # A new carry that is read from an old one must not be overwritten before it is read.
        old = {view.buffer for view in kept}
        new = [self.map(self.new(v.shape, v.dtype), "{0}", v) if v.buffer in old else v for v in new]
        for carry, value in zip(kept, new, strict=True):
            self.map(carry, "{0}", value)
        loop = Loop(variable, length, self.statements)
        self.statements = [*outside, loop]
        return [*kept, *stacked]

    # The operators of funcdl.

    def _philox_fold_in(self, value: Tensor, key: View, data: View) -> View:
        return self._for_each_key(value, key, data, "philox_block({key}[0], {key}[{step}] + (u64){data}[0], {out});")

    def _philox_split(self, value: Tensor, key: View, num: int) -> View:
        return self._for_each_key(value, key, None, f"philox_words({{key}}[0], {{key}}[{{step}}], {4 * num}, {{out}});")

    def _philox_bits(self, value: Tensor, key: View, shape: Any) -> View:
        count = value.numel() * 2 // max(1, key.numel)
        return self._for_each_key(value, key, None, f"philox_words({{key}}[0], {{key}}[{{step}}], {count}, {{out}});")

    def _for_each_key(self, value: Tensor, key: View, data: View | None, code: str) -> View:
        """Calls C++ for each key of a batch."""
        out = self._like(value)
        batch = key.shape[:-1]
        if len(batch) > 1 or out.strides != contiguous_strides(out.shape):
            raise NotSupported("keys in several dimensions")
        count, stride = (batch[0], key.strides[0]) if batch else (1, 0)
        words_of_one = out.numel * out.dtype.itemsize // 4 // count
        data_stride = data.strides[0] if data is not None and data.shape else 0
        call = code.format(
            key=f"(((const u64*){{0}}) + n * {stride})",
            step=key.strides[-1],
            data=f"({{1}} + n * {data_stride})",
            out=f"(((u32*){{out0}}) + n * {words_of_one})",
        )
        inputs = (key,) if data is None else (key, data)
        self.statements.append(Call((out,), f"for (long n = 0; n < {count}; n++) {call}", inputs))
        return out


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


def _dims(x: View, dims: Any) -> tuple[int, ...]:
    """Dimensions as numbers from 0; all of them where none is named."""
    rank = max(1, len(x.shape))
    named = [dims] if isinstance(dims, int) else list(dims or ())
    return tuple(sorted({dim % rank for dim in named})) if named else tuple(range(len(x.shape)))
