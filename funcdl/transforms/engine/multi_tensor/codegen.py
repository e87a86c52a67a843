"""C++ for the updates of donated leaves: one loop for leaves of any size and number.

The numbers of all leaves are shared out evenly among the threads, and scalars are read once for each leaf. Memory is
asked for before it is needed, as a processor that follows four or more arrays at once does not guess well by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from string import Template
from typing import Any

import torch
from torch.fx import Node

from funcdl import _torch

_TYPES = {
    torch.float32: "float",
    torch.float64: "double",
    torch.bfloat16: "c10::BFloat16",
    torch.float16: "c10::Half",
    torch.complex64: "c10::complex<float>",
    torch.complex128: "c10::complex<double>",
    torch.int64: "int64_t",
    torch.bool: "bool",
}
_HEADERS = {  # each takes a compiler a second
    torch.bfloat16: "c10/util/BFloat16.h",
    torch.float16: "c10/util/Half.h",
    torch.complex64: "c10/util/complex.h",
    torch.complex128: "c10/util/complex.h",
}
_EXACT = 2**53  # whole numbers up to it are floats, as which numbers are written out
_COMPUTED_IN = {torch.bfloat16: torch.float32, torch.float16: torch.float32}  # as in torch's own kernels


def _times(factor: str | None, x: str) -> str:
    return f"{factor} * {x}" if factor else x


def _clamp(x: str, low: str | None = None, high: str | None = None) -> str:
    above = f"larger({x}, {low})" if low else x
    return f"smaller({above}, {high})" if high else above


_COMPARISONS: dict[str, Callable[..., str]] = {
    "lt": lambda x, y: f"{x} < {y}",
    "le": lambda x, y: f"{x} <= {y}",
    "gt": lambda x, y: f"{x} > {y}",
    "ge": lambda x, y: f"{x} >= {y}",
    "eq": lambda x, y: f"{x} == {y}",
    "ne": lambda x, y: f"{x} != {y}",
}
# The operations that compilers make vector instructions of.
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
    "add": lambda x, y, alpha=None: f"{x} + {_times(alpha, y)}",
    "sub": lambda x, y, alpha=None: f"{x} - {_times(alpha, y)}",
    "rsub": lambda x, y, alpha=None: f"{y} - {_times(alpha, x)}",
    "mul": lambda x, y: f"{x} * {y}",
    "div": lambda x, y: f"{x} / {y}",
    "addcmul": lambda x, y, z, value=None: f"{x} + {_times(value, y)} * {z}",
    "addcdiv": lambda x, y, z, value=None: f"{x} + {_times(value, y)} / {z}",
    "maximum": lambda x, y: f"larger({x}, {y})",
    "minimum": lambda x, y: f"smaller({x}, {y})",
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
    """Whether there is C++ that computes what a call of an operator does."""
    return _name(node) in _OPERATIONS and _has_numbers_as_they_are(node) and _has_types_as_they_are(node)


def _has_numbers_as_they_are(node: Node) -> bool:
    if not node.kwargs.keys() <= {"alpha", "value", "min", "max", "dtype"}:
        return False
    values = [*node.args, *(value for key, value in node.kwargs.items() if key != "dtype")]
    numbers = [value for value in values if value is not None and not isinstance(value, Node)]
    if not all(isinstance(number, float) or (isinstance(number, int) and abs(number) <= _EXACT) for number in numbers):
        return False
    return _name(node) != "pow" or numbers == [2]


def _has_types_as_they_are(node: Node) -> bool:
    """Whether it computes in the type of its result, or compares, and C++ has the casts to it."""
    inputs, result = {_dtype(part) for part in node.all_input_nodes}, _dtype(node)
    if _name(node) == "copy":
        inputs.remove(result)  # what it overwrites
    elif _is_in_place(node) and inputs != {result}:
        return False
    if any(dtype.is_complex for dtype in inputs) and not (result.is_complex and _name(node) in _COMPLEX_OPERATIONS):
        return False
    return inputs | {result} <= _TYPES.keys()


def kernel_source(nodes: list[Node], leaves: list[Node], scalars: list[Node]) -> str:
    """Returns a C++ function `kernel` that computes `nodes` for each element of the `leaves` of each update."""
    names = {leaf: f"leaf{index}[i]" for index, leaf in enumerate(leaves)}
    names |= {scalar: f"scalar{index}" for index, scalar in enumerate(scalars)}
    lines = []
    for index, node in enumerate(nodes):
        result = _result(node, names)
        if _is_in_place(node):
            names[node] = names[node.args[0]]  # type: ignore[index]
            lines.append(f"{names[node]} = {result};")
        else:
            names[node] = f"node{index}"
            lines.append(f"{_TYPES[_dtype(node)]} node{index} = {result};")
    pointers = [f"{t}* leaf{i} = static_cast<{t}*>(values[place[{i}]]);" for i, t in enumerate(map(_type, leaves))]
    pointers += [
        f"const {t} scalar{i} = *static_cast<{t}*>(values[place[{len(leaves) + i}]]);"
        for i, t in enumerate(map(_type, scalars))
    ]
    fetches = [f"FETCH(leaf{index} + i);" for index in range(len(leaves))]
    headers = {_HEADERS[dtype] for dtype in map(_dtype, [*nodes, *leaves, *scalars]) if dtype in _HEADERS}
    return _LOOP.substitute(
        headers="\n".join(f"#include <{header}>" for header in sorted(headers)),
        arguments=len(leaves) + len(scalars),
        pointers="\n            ".join(pointers),
        line=64 // max(_dtype(leaf).itemsize for leaf in leaves),
        fetches=" ".join(fetches),
        lines="\n                    ".join(lines),
    )


_LOOP = Template("""\
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <omp.h>
$headers

#ifdef __GNUC__
#define FETCH(address) __builtin_prefetch(address)
#else
#define FETCH(address)
#endif

template <typename T> inline T sign(T x) { return x > T(0) ? T(1) : x < T(0) ? T(-1) : T(0); }
template <typename T> inline T larger(T x, T y) { return y > x || y != y ? y : x; }
template <typename T> inline T smaller(T x, T y) { return y < x || y != y ? y : x; }

// How many numbers are computed at a time, and how long before that they are asked for. Measured with Adam and floats:
// anything from 32 to 256 and from 256 to 1024 takes 0.85 of the time that it takes without asking.
constexpr int64_t block = 128, ahead = 512;
constexpr int64_t enough_for_threads = 32768;  // as torch has it

extern "C" void kernel(int64_t updates, const int64_t* sizes, const int64_t* places, int threads, void* const* values) {
    int64_t total = 0;
    for (int64_t update = 0; update < updates; ++update) total += sizes[update];
    #pragma omp parallel num_threads(total < enough_for_threads ? 1 : threads)
    {
        const int64_t from = total * omp_get_thread_num() / omp_get_num_threads();
        const int64_t to = total * (omp_get_thread_num() + 1) / omp_get_num_threads();
        int64_t before = 0;
        for (int64_t update = 0; update < updates; before += sizes[update++]) {
            const int64_t begin = std::max<int64_t>(from - before, 0), end = std::min(to - before, sizes[update]);
            if (begin >= end) continue;
            const int64_t* place = places + update * $arguments;
            $pointers
            for (int64_t start = begin; start < end; start += block) {
                for (int64_t i = start + ahead; i < std::min(start + ahead + block, end); i += $line) {
                    $fetches
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


def _result(node: Node, names: dict[Node, str]) -> str:
    """The result of a call, computed in the type that torch computes it in."""
    name = _name(node)
    if name in _COMPARISONS:
        compared: list[Any] = [arg.meta["val"] if isinstance(arg, Node) else arg for arg in node.args]
        dtype = torch.result_type(*compared)
    else:
        dtype = _COMPUTED_IN.get(_dtype(node), _dtype(node))

    def cast(value: Any) -> str | None:
        if value is None:
            return None
        if isinstance(value, Node) and (_dtype(value) is dtype or (name == "where" and value is node.args[0])):
            return names[value]
        return f"static_cast<{_TYPES[dtype]}>({names[value] if isinstance(value, Node) else _literal(value)})"

    kwargs = {key: cast(value) for key, value in node.kwargs.items() if key != "dtype"}
    return _OPERATIONS[name](*map(cast, node.args), **kwargs)


def _literal(number: bool | int | float) -> str:
    if math.isfinite(number):
        return float(number).hex()
    return "NAN" if math.isnan(number) else "INFINITY" if number > 0 else "-INFINITY"


def _name(node: Node) -> str:
    return _schema_name(node).removesuffix("_")


def _is_in_place(node: Node) -> bool:
    return _schema_name(node).endswith("_")


def _schema_name(node: Node) -> str:
    return _torch.schema(node.target).name.removeprefix("aten::")


def _dtype(node: Node) -> torch.dtype:
    return node.meta["val"].dtype


def _type(node: Node) -> str:
    return _TYPES[_dtype(node)]
