"""Generates C++ for the updates of donated leaves: one loop for leaves of any size and number.

The elements of all leaves are divided evenly among the threads, and scalars are read once per leaf. The loop prefetches
memory, because hardware prefetchers do not work well for four or more arrays at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from string import Template
from typing import Any

import torch
from torch.fx import Node

from funcdl import _torch

_CPP_TYPES = {
    torch.float32: "float",
    torch.float64: "double",
    torch.bfloat16: "c10::BFloat16",
    torch.float16: "c10::Half",
    torch.complex64: "c10::complex<float>",
    torch.complex128: "c10::complex<double>",
    torch.int64: "int64_t",
    torch.bool: "bool",
}
_HEADERS = {  # included only if needed, because each takes a second to compile
    torch.bfloat16: "c10/util/BFloat16.h",
    torch.float16: "c10/util/Half.h",
    torch.complex64: "c10/util/complex.h",
    torch.complex128: "c10/util/complex.h",
}
_MAX_EXACT_INT = 2**53  # numbers are written as floats, which represent integers exactly up to this one
_COMPUTE_DTYPES = {torch.bfloat16: torch.float32, torch.float16: torch.float32}  # as in torch's own kernels


def _scaled(factor: str | None, x: str) -> str:
    return f"{factor} * {x}" if factor else x


def _clamp(x: str, low: str | None = None, high: str | None = None) -> str:
    above = f"maximum({x}, {low})" if low else x
    return f"minimum({above}, {high})" if high else above


_COMPARISONS: dict[str, Callable[..., str]] = {
    "lt": lambda x, y: f"{x} < {y}",
    "le": lambda x, y: f"{x} <= {y}",
    "gt": lambda x, y: f"{x} > {y}",
    "ge": lambda x, y: f"{x} >= {y}",
    "eq": lambda x, y: f"{x} == {y}",
    "ne": lambda x, y: f"{x} != {y}",
}
# The operations that compilers can vectorize.
_OPERATIONS: dict[str, Callable[..., str]] = {
    **_COMPARISONS,
    "copy": lambda into, x: x,
    "clone": lambda x: x,
    "_to_copy": lambda x: x,
    "neg": lambda x: f"-{x}",
    "abs": lambda x: f"std::abs({x})",
    "sign": lambda x: f"sign({x})",
    "sqrt": lambda x: f"std::sqrt({x})",
    "rsqrt": lambda x: f"1 / std::sqrt({x})",
    "reciprocal": lambda x: f"1 / {x}",
    "pow": lambda x, two: f"{x} * {x}",
    "add": lambda x, y, alpha=None: f"{x} + {_scaled(alpha, y)}",
    "sub": lambda x, y, alpha=None: f"{x} - {_scaled(alpha, y)}",
    "rsub": lambda x, y, alpha=None: f"{y} - {_scaled(alpha, x)}",
    "mul": lambda x, y: f"{x} * {y}",
    "div": lambda x, y: f"{x} / {y}",
    "addcmul": lambda x, y, z, value=None: f"{x} + {_scaled(value, y)} * {z}",
    "addcdiv": lambda x, y, z, value=None: f"{x} + {_scaled(value, y)} / {z}",
    "maximum": lambda x, y: f"maximum({x}, {y})",
    "minimum": lambda x, y: f"minimum({x}, {y})",
    "clamp": _clamp,
    "where": lambda condition, x, y: f"{condition} ? {x} : {y}",
    "bitwise_and": lambda x, y: f"{x} & {y}",
    "bitwise_or": lambda x, y: f"{x} | {y}",
    "logical_and": lambda x, y: f"{x} && {y}",
    "logical_or": lambda x, y: f"{x} || {y}",
    "logical_not": lambda x: f"!{x}",
}
_COMPLEX_OPERATIONS = {"copy", "clone", "neg", "add", "sub", "mul", "where"}


def has_cpp(node: Node) -> bool:
    """Whether the operation of a node can be written in C++."""
    return _operation(node) in _OPERATIONS and _has_supported_numbers(node) and _has_supported_dtypes(node)


def _has_supported_numbers(node: Node) -> bool:
    if not node.kwargs.keys() <= {"alpha", "value", "min", "max", "dtype"}:
        return False
    values = [*node.args, *(value for key, value in node.kwargs.items() if key != "dtype")]
    numbers = [value for value in values if value is not None and not isinstance(value, Node)]
    if not all(
        isinstance(number, float) or (isinstance(number, int) and abs(number) <= _MAX_EXACT_INT) for number in numbers
    ):
        return False
    return _operation(node) != "pow" or numbers == [2]


def _has_supported_dtypes(node: Node) -> bool:
    """Whether C++ has all dtypes of an operation, and the casts to the dtype of its result."""
    inputs, result = {_dtype(part) for part in node.all_input_nodes}, _dtype(node)
    if _operation(node) == "copy":
        inputs.remove(result)  # the overwritten tensor
    elif _is_in_place(node) and inputs != {result}:
        return False
    if any(dtype.is_complex for dtype in inputs) and not (
        result.is_complex and _operation(node) in _COMPLEX_OPERATIONS
    ):
        return False
    return inputs | {result} <= _CPP_TYPES.keys()


def kernel_source(nodes: list[Node], leaves: list[Node], scalars: list[Node]) -> str:
    """Returns a C++ function `kernel` that computes `nodes` for each element of the `leaves` of each update."""
    names = {leaf: f"leaf{index}[i]" for index, leaf in enumerate(leaves)}
    names |= {scalar: f"scalar{index}" for index, scalar in enumerate(scalars)}
    lines = []
    for index, node in enumerate(nodes):
        result = _expression(node, names)
        if _is_in_place(node):
            names[node] = names[node.args[0]]  # type: ignore[index]
            lines.append(f"{names[node]} = {result};")
        else:
            names[node] = f"node{index}"
            lines.append(f"{_CPP_TYPES[_dtype(node)]} node{index} = {result};")
    pointers = [f"{t}* leaf{i} = static_cast<{t}*>(data[index[{i}]]);" for i, t in enumerate(map(_cpp_type, leaves))]
    pointers += [
        f"const {t} scalar{i} = *static_cast<{t}*>(data[index[{len(leaves) + i}]]);"
        for i, t in enumerate(map(_cpp_type, scalars))
    ]
    prefetches = [f"PREFETCH(leaf{index} + i);" for index in range(len(leaves))]
    headers = {_HEADERS[dtype] for dtype in map(_dtype, [*nodes, *leaves, *scalars]) if dtype in _HEADERS}
    return _LOOP.substitute(
        headers="\n".join(f"#include <{header}>" for header in sorted(headers)),
        arguments=len(leaves) + len(scalars),
        pointers="\n            ".join(pointers),
        line=64 // max(_dtype(leaf).itemsize for leaf in leaves),
        prefetches=" ".join(prefetches),
        lines="\n                    ".join(lines),
    )


_LOOP = Template("""\
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <omp.h>
$headers

#ifdef __GNUC__
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define PREFETCH(address)
#endif

template <typename T> inline T sign(T x) { return x > T(0) ? T(1) : x < T(0) ? T(-1) : T(0); }
template <typename T> inline T maximum(T x, T y) { return y > x || y != y ? y : x; }
template <typename T> inline T minimum(T x, T y) { return y < x || y != y ? y : x; }

// The number of elements in a block, and how many elements ahead the loop prefetches. Measured with Adam in float32:
// blocks of 32 to 256 and distances of 256 to 1024 all take 0.85 of the time without prefetching.
constexpr int64_t block = 128, distance = 512;
constexpr int64_t grain_size = 32768;  // as in torch

extern "C" void kernel(int64_t updates, const int64_t* sizes, const int64_t* indices, int threads, void* const* data) {
    int64_t total = 0;
    for (int64_t update = 0; update < updates; ++update) total += sizes[update];
    #pragma omp parallel num_threads(total < grain_size ? 1 : threads)
    {
        const int64_t from = total * omp_get_thread_num() / omp_get_num_threads();
        const int64_t to = total * (omp_get_thread_num() + 1) / omp_get_num_threads();
        int64_t before = 0;
        for (int64_t update = 0; update < updates; before += sizes[update++]) {
            const int64_t begin = std::max<int64_t>(from - before, 0), end = std::min(to - before, sizes[update]);
            if (begin >= end) continue;
            const int64_t* index = indices + update * $arguments;
            $pointers
            for (int64_t start = begin; start < end; start += block) {
                for (int64_t i = start + distance; i < std::min(start + distance + block, end); i += $line) {
                    $prefetches
                }
                const int64_t stop = std::min(start + block, end);
                #pragma omp simd
                for (int64_t i = start; i < stop; ++i) {
                    $lines
                }
            }
        }
    }
}
""")


def _expression(node: Node, names: dict[Node, str]) -> str:
    """Returns the C++ expression for the result of a node, computed in the same type as in torch."""
    name = _operation(node)
    if name in _COMPARISONS:
        compared: list[Any] = [arg.meta["val"] if isinstance(arg, Node) else arg for arg in node.args]
        dtype = torch.result_type(*compared)
    else:
        dtype = _COMPUTE_DTYPES.get(_dtype(node), _dtype(node))

    def cast(value: Any) -> str | None:
        if value is None:
            return None
        if isinstance(value, Node) and (_dtype(value) is dtype or (name == "where" and value is node.args[0])):
            return names[value]
        return f"static_cast<{_CPP_TYPES[dtype]}>({names[value] if isinstance(value, Node) else _literal(value)})"

    kwargs = {key: cast(value) for key, value in node.kwargs.items() if key != "dtype"}
    return _OPERATIONS[name](*map(cast, node.args), **kwargs)


def _literal(number: bool | int | float) -> str:
    if math.isfinite(number):
        return float(number).hex()
    return "NAN" if math.isnan(number) else "INFINITY" if number > 0 else "-INFINITY"


def _operation(node: Node) -> str:
    return _schema_name(node).removesuffix("_")


def _is_in_place(node: Node) -> bool:
    return _schema_name(node).endswith("_")


def _schema_name(node: Node) -> str:
    return _torch.schema(node.target).name.removeprefix("aten::")


def _dtype(node: Node) -> torch.dtype:
    return node.meta["val"].dtype


def _cpp_type(node: Node) -> str:
    return _CPP_TYPES[_dtype(node)]
