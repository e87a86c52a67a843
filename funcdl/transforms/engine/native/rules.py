"""How operations that are no element-wise arithmetic are computed: reductions, matrix products, joins, draws.

A rule is given the lowering to add its statements to, the result's tensor without data, and the operation's arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from funcdl.transforms.engine.native import operations
from funcdl.transforms.engine.native.ir import Call, MatMul, NotSupported, Reduce, View, c_type, contiguous_strides

if TYPE_CHECKING:
    from funcdl.transforms.engine.native.lowering import Lowering


def _logical_not(lowering: Lowering, value: Tensor, x: View) -> View:
    return lowering.map(lowering.like(value), "!{0}", x)


def _bitwise_not(lowering: Lowering, value: Tensor, x: View) -> View:
    return lowering.map(lowering.like(value), "!{0}" if x.dtype == torch.bool else "~{0}", x)


def _where(lowering: Lowering, value: Tensor, condition: View, x: Any, y: Any) -> View:
    words, inputs = [], [condition]
    for part in (x, y):
        if isinstance(part, View):
            words.append(f"({c_type(value.dtype)}){{{len(inputs)}}}")
            inputs.append(part)
        else:
            words.append(operations.literal(part, value.dtype))
    return lowering.map(lowering.like(value), f"{{0}} ? {words[0]} : {words[1]}", *inputs)


def _full(lowering: Lowering, value: Tensor, size: Any, fill: Any, **_: Any) -> View:
    return _filled(lowering, value, fill)


def _full_like(lowering: Lowering, value: Tensor, x: View, fill: Any, **_: Any) -> View:
    return _filled(lowering, value, fill)


def _new_full(lowering: Lowering, value: Tensor, x: View, size: Any, fill: Any, **_: Any) -> View:
    return _filled(lowering, value, fill)


def _scalar_tensor(lowering: Lowering, value: Tensor, fill: Any, **_: Any) -> View:
    return _filled(lowering, value, fill)


def _filled(lowering: Lowering, value: Tensor, fill: Any) -> View:
    if isinstance(fill, View):
        return lowering.map(lowering.like(value), f"({c_type(value.dtype)}){{0}}", fill)
    return lowering.map(lowering.like(value), operations.literal(fill, value.dtype))


def _lift_fresh_copy(lowering: Lowering, value: Tensor, x: View) -> View:
    return lowering.map(lowering.like(value), "{0}", x)


def _arange(lowering: Lowering, value: Tensor, *args: Any, **_: Any) -> View:
    start, step = (args[0], args[2] if len(args) > 2 else 1) if len(args) > 1 else (0, 1)
    if value.dtype.is_floating_point or not all(isinstance(number, int) for number in (start, step)):
        raise NotSupported("arange of floats")
    return lowering.map(lowering.like(value), f"{start}L + {step}L * {{index}}")


# Reductions.


def _sum(lowering: Lowering, value: Tensor, x: View, dims: Any = None, keepdim: bool = False, **_: Any) -> View:
    return _reduced(lowering, "sum", value, x, dims)


def _amax(lowering: Lowering, value: Tensor, x: View, dims: Any = (), keepdim: bool = False) -> View:
    return _reduced(lowering, "larger", value, x, dims)


def _amin(lowering: Lowering, value: Tensor, x: View, dims: Any = (), keepdim: bool = False) -> View:
    return _reduced(lowering, "smaller", value, x, dims)


def _mean(lowering: Lowering, value: Tensor, x: View, dims: Any = None, keepdim: bool = False, **_: Any) -> View:
    total = _reduced(lowering, "sum", value, x, dims)
    count = operations.literal(x.numel // total.numel, value.dtype)
    return lowering.map(lowering.like(value), f"{{0}} / {count}", total)


def _linalg_vector_norm(
    lowering: Lowering, value: Tensor, x: View, order: Any = 2, dims: Any = None, keepdim: bool = False, **_: Any
) -> View:
    if order != 2:
        raise NotSupported(f"a norm of order {order}")
    squares = lowering.map(lowering.new(x.shape, value.dtype), f"(({c_type(value.dtype)}){{0}}) * {{0}}", x)
    return lowering.map(lowering.like(value), "sqrt_({0})", _reduced(lowering, "sum", value, squares, dims))


def _var_mean(
    lowering: Lowering, value: Any, x: View, dims: Any = None, *, correction: Any = 1, keepdim: bool = False
) -> list[View]:
    variance, mean = value
    kept = _kept(lowering, x, dims)
    count = x.numel // kept.numel
    total = _reduce_to(lowering, kept, "sum", x, dims)
    average = lowering.map(lowering.new(kept.shape, x.dtype), f"{{0}} / {operations.literal(count, x.dtype)}", total)
    squares = lowering.map(lowering.new(x.shape, x.dtype), "({0} - {1}) * ({0} - {1})", x, average)
    spread = _reduce_to(lowering, lowering.new(kept.shape, x.dtype), "sum", squares, dims)
    degrees = operations.literal(max(0, count - (1 if correction is None else correction)), x.dtype)
    spread = lowering.map(lowering.new(kept.shape, x.dtype), f"{{0}} / {degrees}", spread)
    return [_reshaped(spread, variance), _reshaped(average, mean)]


def _var(
    lowering: Lowering, value: Tensor, x: View, dims: Any = None, *, correction: Any = 1, keepdim: bool = False
) -> View:
    return _var_mean(lowering, (value, value), x, dims, correction=correction)[0]


def _std(
    lowering: Lowering, value: Tensor, x: View, dims: Any = None, *, correction: Any = 1, keepdim: bool = False
) -> View:
    return lowering.map(lowering.like(value), "sqrt_({0})", _var(lowering, value, x, dims, correction=correction))


def _reduced(lowering: Lowering, kind: str, value: Tensor, x: View, dims: Any) -> View:
    if x.dtype != value.dtype:  # counted in the dtype of the result
        x = lowering.map(lowering.new(x.shape, value.dtype), f"({c_type(value.dtype)}){{0}}", x)
    return _reshaped(_reduce_to(lowering, _kept(lowering, x, dims), kind, x, dims), value)


def _kept(lowering: Lowering, x: View, dims: Any) -> View:
    reduced = _dims(x, dims)
    return lowering.new([1 if dim in reduced else size for dim, size in enumerate(x.shape)], x.dtype)


def _reduce_to(lowering: Lowering, out: View, kind: str, x: View, dims: Any) -> View:
    lowering.statements.append(Reduce(out, kind, x, _dims(x, dims)))
    return out


def _reshaped(view: View, value: Tensor) -> View:
    """A contiguous view in the shape of a value, which has as many elements."""
    shape = tuple(value.shape)
    return View(view.buffer, shape, contiguous_strides(shape), view.offset, view.dtype, view.steps)


# Matrices.


def _mm(lowering: Lowering, value: Tensor, a: View, b: View) -> View:
    out = lowering.like(value)
    if not value.dtype.is_floating_point:
        raise NotSupported("a matrix product of whole numbers")
    lowering.statements.append(MatMul(out, a, b))
    return out


def _addmm(lowering: Lowering, value: Tensor, bias: View, a: View, b: View, *, beta: Any = 1, alpha: Any = 1) -> View:
    if (beta, alpha) != (1, 1):
        raise NotSupported("addmm with factors")
    product = _mm(lowering, value, a, b)
    return lowering.map(lowering.like(value), "{0} + {1}", product, bias)


def _mv(lowering: Lowering, value: Tensor, a: View, b: View) -> View:
    column = View(b.buffer, (*b.shape, 1), (*b.strides, 0), b.offset, b.dtype, b.steps)
    out = lowering.new((a.shape[0], 1), value.dtype)
    lowering.statements.append(MatMul(out, a, column))
    return _reshaped(out, value)


def _dot(lowering: Lowering, value: Tensor, a: View, b: View) -> View:
    row = View(a.buffer, (1, *a.shape), (0, *a.strides), a.offset, a.dtype, a.steps)
    column = View(b.buffer, (*b.shape, 1), (*b.strides, 0), b.offset, b.dtype, b.steps)
    out = lowering.new((1, 1), value.dtype)
    lowering.statements.append(MatMul(out, row, column))
    return _reshaped(out, value)


# Joining and choosing.


def _cat(lowering: Lowering, value: Tensor, parts: list[View], dim: int = 0) -> View:
    out = lowering.like(value)
    dim %= len(out.shape)
    start = 0
    for part in parts:
        if len(part.shape) != len(out.shape):
            raise NotSupported("cat of tensors without elements")
        offset = out.offset + start * out.strides[dim]
        lowering.map(View(out.buffer, part.shape, out.strides, offset, out.dtype), f"({c_type(out.dtype)}){{0}}", part)
        start += part.shape[dim]
    return out


def _stack(lowering: Lowering, value: Tensor, parts: list[View], dim: int = 0) -> View:
    out = lowering.like(value)
    dim %= len(out.shape)
    shape = (*out.shape[:dim], *out.shape[dim + 1 :])
    strides = (*out.strides[:dim], *out.strides[dim + 1 :])
    for index, part in enumerate(parts):
        place = View(out.buffer, shape, strides, out.offset + index * out.strides[dim], out.dtype)
        lowering.map(place, f"({c_type(out.dtype)}){{0}}", part)
    return out


def _flip(lowering: Lowering, value: Tensor, x: View, dims: Any) -> View:
    strides, offset = list(x.strides), x.offset
    for dim in _dims(x, dims) if dims else ():
        offset += (x.shape[dim] - 1) * strides[dim]
        strides[dim] = -strides[dim]
    backwards = View(x.buffer, x.shape, tuple(strides), offset, x.dtype, x.steps)
    return lowering.map(lowering.like(value), "{0}", backwards)


# The operators of funcdl.


def _philox_fold_in(lowering: Lowering, value: Tensor, key: View, data: View) -> View:
    return _for_each_key(lowering, value, key, data, "philox_block({key}[0], {key}[{step}] + (u64){data}[0], {out});")


def _philox_split(lowering: Lowering, value: Tensor, key: View, num: int) -> View:
    return _for_each_key(
        lowering, value, key, None, f"philox_words({{key}}[0], {{key}}[{{step}}], {4 * num}, {{out}});"
    )


def _philox_bits(lowering: Lowering, value: Tensor, key: View, shape: Any) -> View:
    count = value.numel() * 2 // max(1, key.numel)
    return _for_each_key(lowering, value, key, None, f"philox_words({{key}}[0], {{key}}[{{step}}], {count}, {{out}});")


def _for_each_key(lowering: Lowering, value: Tensor, key: View, data: View | None, code: str) -> View:
    """Calls C++ for each key of a batch."""
    out = lowering.like(value)
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
    lowering.statements.append(Call((out,), f"for (long n = 0; n < {count}; n++) {call}", inputs))
    return out


def _dims(x: View, dims: Any) -> tuple[int, ...]:
    """Dimensions as numbers from 0; all of them where none is named."""
    if isinstance(dims, bool):  # an overload whose second argument is another one
        raise NotSupported("a reduction by a truth value")
    rank = max(1, len(x.shape))
    named = [dims] if isinstance(dims, int) else list(dims or ())
    return tuple(sorted({dim % rank for dim in named})) if named else tuple(range(len(x.shape)))


RULES: dict[str, Callable[..., Any]] = {  # by the operation's name, without underscores around it
    "logical_not": _logical_not,
    "bitwise_not": _bitwise_not,
    "where": _where,
    "full": _full,
    "full_like": _full_like,
    "new_full": _new_full,
    "scalar_tensor": _scalar_tensor,
    "lift_fresh_copy": _lift_fresh_copy,
    "arange": _arange,
    "sum": _sum,
    "amax": _amax,
    "amin": _amin,
    "mean": _mean,
    "linalg_vector_norm": _linalg_vector_norm,
    "var_mean": _var_mean,
    "var": _var,
    "std": _std,
    "mm": _mm,
    "addmm": _addmm,
    "mv": _mv,
    "dot": _dot,
    "cat": _cat,
    "stack": _stack,
    "flip": _flip,
    "philox_fold_in": _philox_fold_in,
    "philox_split": _philox_split,
    "philox_bits": _philox_bits,
    "bmm": _mm,
    "baddbmm": _addmm,
}
