"""The C++ expressions of torch's element-wise operations, by name; operands are expressions of one C++ type."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from funcdl.transforms.engine.native.ir import NotSupported, c_type


def literal(value: Any, dtype: torch.dtype) -> str:
    """A Python number in C++, as the number of that dtype that torch makes of it.

    >>> literal(0.1, torch.float32), literal(float("-inf"), torch.float64), literal(3, torch.int64)
    ('0x1.99999a0000000p-4f', '(-__builtin_inf())', '3L')
    """
    if isinstance(value, complex):
        raise NotSupported("complex numbers")
    if dtype.is_floating_point:
        suffix = "f" if dtype == torch.float32 else ""
        value = torch.tensor(value, dtype=dtype, device="cpu").item()
        if math.isnan(value):
            return f'__builtin_nan{suffix}("")'
        if math.isinf(value):
            return f"({'-' if value < 0 else ''}__builtin_inf{suffix}())"
        return f"({value.hex()}{suffix})" if value < 0 or str(value) == "-0.0" else f"{value.hex()}{suffix}"
    if dtype == torch.bool:
        return "true" if value else "false"
    if int(value) != value or not -(2**63) < int(value) < 2**63:
        raise NotSupported(f"the number {value} as {dtype}")
    return f"({c_type(dtype)})({int(value)}L)" if dtype != torch.int64 else f"{int(value)}L"


def _pow(x: str, exponent: Any, dtype: torch.dtype) -> str:
    """The power by a number: those that torch computes without `pow` are computed as there."""
    if exponent == 2:
        return f"{x} * {x}"
    if exponent == 3:
        return f"{x} * {x} * {x}"
    if not dtype.is_floating_point:
        raise NotSupported(f"a whole number to the power of {exponent}")
    special = {0.5: f"sqrt_({x})", -0.5: f"1 / sqrt_({x})", -1: f"1 / {x}", -2: f"1 / ({x} * {x})", 1: x}
    return special.get(exponent) or f"pow_({x}, {literal(exponent, dtype)})"


def _clamp(x: str, low: str | None, high: str | None) -> str:
    above = f"larger({x}, {low})" if low else x
    return f"smaller({above}, {high})" if high else above


def _scaled(factor: str | None, x: str) -> str:
    return f"{factor} * {x}" if factor else x


POINTWISE: dict[str, Callable[..., str]] = {
    "clone": lambda x: x,
    "copy": lambda into, x: x,
    "_to_copy": lambda x: x,
    "neg": lambda x: f"-{x}",
    "square": lambda x: f"{x} * {x}",
    "add": lambda x, y, alpha=None: f"{x} + {_scaled(alpha, y)}",
    "sub": lambda x, y, alpha=None: f"{x} - {_scaled(alpha, y)}",
    "rsub": lambda x, y, alpha=None: f"{y} - {_scaled(alpha, x)}",
    "mul": lambda x, y: f"{x} * {y}",
    "maximum": lambda x, y: f"larger({x}, {y})",
    "minimum": lambda x, y: f"smaller({x}, {y})",
    "clamp": _clamp,
    "clamp_min": lambda x, low: _clamp(x, low, None),
    "clamp_max": lambda x, high: _clamp(x, None, high),
    "sign": lambda x: f"sign_({x})",
    "sgn": lambda x: f"sign_({x})",
    "relu": lambda x: f"({x} < 0 ? 0 : {x})",
    "threshold_backward": lambda grad, x, threshold: f"({x} <= {threshold} ? 0 : {grad})",
    "addcmul": lambda x, y, z, value=None: f"{x} + {_scaled(value, y)} * {z}",
}
FLOATING: dict[str, Callable[..., str]] = {
    "abs": lambda x: f"fabs_({x})",
    "sqrt": lambda x: f"sqrt_({x})",
    "rsqrt": lambda x: f"1 / sqrt_({x})",
    "reciprocal": lambda x: f"1 / {x}",
    "exp": lambda x: f"exp_({x})",
    "expm1": lambda x: f"expm1_({x})",
    "log": lambda x: f"log_({x})",
    "log1p": lambda x: f"log1p_({x})",
    "tanh": lambda x: f"tanh_({x})",
    "sigmoid": lambda x: f"sigmoid_({x})",
    "erf": lambda x: f"erf_({x})",
    "sin": lambda x: f"sin_({x})",
    "cos": lambda x: f"cos_({x})",
    "floor": lambda x: f"floor_({x})",
    "ceil": lambda x: f"ceil_({x})",
    "round": lambda x: f"round_({x})",
    "div": lambda x, y: f"{x} / {y}",
    "addcdiv": lambda x, y, z, value=None: f"{x} + {_scaled(value, y)} / {z}",
    "lerp": lambda start, end, weight: f"lerp_({start}, {end}, {weight})",
    "sigmoid_backward": lambda grad, y: f"{grad} * (1 - {y}) * {y}",
    "tanh_backward": lambda grad, y: f"{grad} * (1 - {y} * {y})",
}
WHOLE: dict[str, Callable[..., str]] = {  # of whole numbers and truth values
    "bitwise_and": lambda x, y: f"{x} & {y}",
    "bitwise_or": lambda x, y: f"{x} | {y}",
    "bitwise_xor": lambda x, y: f"{x} ^ {y}",
}
SHIFTS: dict[str, Callable[..., str]] = {
    "bitwise_left_shift": lambda x, y: f"{x} << {y}",
    "bitwise_right_shift": lambda x, y: f"{x} >> {y}",
    "__lshift__": lambda x, y: f"{x} << {y}",
    "__rshift__": lambda x, y: f"{x} >> {y}",
}
COMPARISONS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
LOGICAL = {"logical_and": "&&", "logical_or": "||"}
FILLS = {"zeros_like": 0, "new_zeros": 0, "zeros": 0, "ones_like": 1, "new_ones": 1, "ones": 1}


def pointwise(name: str, operands: list[Any], options: dict[str, Any], dtype: torch.dtype) -> str:
    """The expression of an operation in `dtype`; the operands are expressions, or numbers of Python.

    Raises:
        NotSupported: there is none.
    """
    if name == "pow" and isinstance(operands[1], (int, float)):
        return _pow(operands[0], operands[1], dtype)
    floating = dtype.is_floating_point
    table = POINTWISE | (FLOATING if floating else WHOLE)
    if name in SHIFTS and not floating and dtype != torch.bool:
        (shift,) = operands[1:]
        if not isinstance(shift, int) or not 0 <= shift < 8 * dtype.itemsize:  # beyond, C++ says nothing
            raise NotSupported("a shift by what is no constant")
        return SHIFTS[name](operands[0], str(shift))
    if name == "pow" and floating:
        table = table | {"pow": lambda x, y: f"pow_({x}, {y})"}
    if name not in table or (dtype == torch.bool and name not in {*WHOLE, "clone", "copy", "_to_copy"}):
        raise NotSupported(f"{name} of {dtype}")

    def in_cpp(value: Any) -> Any:
        return literal(value, dtype) if isinstance(value, (bool, int, float)) else value

    given = {key: in_cpp(value) for key, value in options.items() if not (key in ("alpha", "value") and value == 1)}
    if not given.keys() <= {"alpha", "value"}:
        raise NotSupported(f"{name} with {', '.join(given)}")
    return table[name](*map(in_cpp, operands), **given)
