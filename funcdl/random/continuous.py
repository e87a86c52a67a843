"""Continuous distributions, derived from the 32-bit words of a key in the same way as in JAX.

`uniform` gives the same bits eager, compiled and vmapped on every device. The others use library functions, such as the
logarithm, whose last bits differ between eager and compiled kernels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from funcdl.context import values_are_known
from funcdl.random import xla
from funcdl.random.arguments import (
    Shape,
    as_number,
    as_shape,
    as_tensor,
    check_broadcast,
    check_values,
    described,
    next_below,
    rounded,
)
from funcdl.random.keys import Key, device_of, is_threefry, unsigned_wide_words, words
from funcdl.random.xla import to_float32

_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_TAIL = 3.0  # standard deviations from which on erf(x / sqrt(2)) has too few values below 1


def uniform(
    key: Key, shape: Shape = (), *, low: float = 0.0, high: float = 1.0, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "*shape"]:
    """Draws from the uniform distribution on [low, high).

    The result is `max(low, k 2^-23 (high - low) + low)`, where `k` is the upper 23 bits of a word. For float64 it has
    the upper 52 bits of a 64-bit word instead. Half types are computed in float32 and rounded.

    Args:
        key: a key not used before.
        shape: the shape of the result; an int is one size.
        low: the smallest value, finite.
        high: the upper bound, finite and above `low`. It is never reached, except by rounding with a Threefry key and
            bounds other than 0 and 1, as in `jax.random.uniform`.
        dtype: float32, float64, float16 or bfloat16.

    Returns:
        The draws, on the key's device. In float64 with bounds other than 0 and 1 the last bit may differ in a compiled
        GPU kernel, which may use a fused multiply-add.

    Raises:
        ValueError: `low >= high`, a bound is not finite or beyond the dtype's range, or both round to the same number.
        TypeError: `dtype` is not floating-point, or a bound is not one number.

    >>> from funcdl import random
    >>> random.uniform(random.key(0), (3,))
    tensor([0.3990, 0.8805, 0.7357])

    Source: `jax.random.uniform`, whose half types have different draws. With a Threefry key the product and the sum are
    rounded only once, as in JAX.
    """
    wide, shape = computing_dtype("uniform", dtype), as_shape("uniform", shape)
    low, high = as_number("uniform", "low", low), as_number("uniform", "high", high)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"random.uniform: low={low} and high={high}, expected finite numbers with low < high")
    if (low, high) == (0.0, 1.0):
        return _uniform(key, shape, low, high, wide, dtype)
    end = rounded(high, dtype)
    if max(abs(low), abs(high)) > torch.finfo(dtype).max or rounded(low, dtype) == end:
        raise ValueError(f"random.uniform: low={low} and high={high} are not two numbers of {dtype}; pass a wider one")
    return _uniform(key, shape, low, high, wide, dtype, below=next_below(end, dtype))


def normal(
    key: Key,
    shape: Shape = (),
    *,
    mean: float | Sequence[float] | Tensor = 0.0,
    std: float | Sequence[float] | Tensor = 1.0,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "*shape"]:
    """Draws from the normal distribution, as `mean + std sqrt(2) erfinv(u)` with u uniform in (-1, 1).

    Args:
        key: a key not used before.
        shape: the shape of the result; an int is one size.
        mean: the mean of the distribution: a number, or a tensor or list that broadcasts to `shape`.
        std: the standard deviation, at least 0: a number, or a tensor or list that broadcasts to `shape`. The values in
            a tensor are not checked in a graph, or where `vmap` maps over them.
        dtype: float32, float64, float16 or bfloat16; half types are computed in float32 and rounded.

    Returns:
        The draws, on the key's device; eager and compiled draws may differ by a few ulp.

    Raises:
        ValueError: `std` is negative or NaN, or `mean` or `std` does not broadcast to `shape`.
        TypeError: `dtype` is not floating-point, or `mean` or `std` is not made of numbers.

    >>> from funcdl import random
    >>> random.normal(random.key(0), (3,), std=0.1)
    tensor([-0.0256,  0.1178,  0.0630])

    Source: `jax.random.normal`.
    """
    wide, shape = computing_dtype("normal", dtype), as_shape("normal", shape)
    if not isinstance(std, (int, float)):
        std = as_tensor("normal", "std", std, wide, device_of(key))
        check_broadcast("normal", "std", std.shape, shape)
        if values_are_known(std):
            check_values("normal", "std", std, std >= 0, "standard deviations of at least 0")
    elif not std >= 0:
        raise ValueError(f"random.normal: std={std}, expected a standard deviation of at least 0")
    if not isinstance(mean, (int, float)):
        mean = as_tensor("normal", "mean", mean, wide, device_of(key))
        check_broadcast("normal", "mean", mean.shape, shape)
    draw = _erfinv_of_uniform(key, shape, -1.0 + torch.finfo(wide).eps / 2, 1.0, wide)
    if isinstance(std, Tensor) or std != 1.0:
        draw = draw * std
    if isinstance(mean, Tensor) or mean != 0.0:
        draw = draw + mean
    return draw.to(dtype)


def truncated_normal(
    key: Key, shape: Shape = (), *, lower: float, upper: float, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "*shape"]:
    """Draws from the standard normal distribution, conditioned on the interval [lower, upper].

    The result is `sqrt(2) erfinv(u)` with u uniform between `erf(lower / sqrt(2))` and `erf(upper / sqrt(2))`, clamped.
    If both bounds are on the same side and at least 3 away from 0, it is the x for which the tail probability
    `P(X > x)` is uniform between those of the bounds, found by Newton's method on its logarithm in float64, which is
    accurate in any tail. A Threefry key always uses the first method, as in JAX: from about 4 (7 in float64) on, the
    error function rounds to 1, so that draws are first coarse and then wrong.

    Args:
        key: a key not used before.
        shape: the shape of the result; an int is one size.
        lower: the lower bound, in standard deviations; may be `-math.inf`.
        upper: the upper bound, above `lower`; may be `math.inf`.
        dtype: float32, float64, float16 or bfloat16; half types are computed in float32 and rounded.

    Returns:
        The draws, on the key's device; eager and compiled draws may differ by a few ulp.

    Raises:
        ValueError: `lower >= upper`, or the dtype has no number between them.
        TypeError: `dtype` is not floating-point, or a bound is not one number.

    >>> from funcdl import random
    >>> draws = random.truncated_normal(random.key(0), (1000,), lower=-2.0, upper=2.0)
    >>> bool((draws.abs() <= 2).all())
    True

    Source: `jax.random.truncated_normal`, whose bounds are excluded.
    """
    wide, shape = computing_dtype("truncated_normal", dtype), as_shape("truncated_normal", shape)
    lower, upper = (as_number("truncated_normal", *bound) for bound in (("lower", lower), ("upper", upper)))
    if not lower < upper:
        raise ValueError(f"random.truncated_normal: lower={lower} and upper={upper}, expected lower < upper")
    if lower > torch.finfo(dtype).max or upper < -torch.finfo(dtype).max:
        raise ValueError(f"random.truncated_normal: lower={lower} and upper={upper} are beyond the range of {dtype}")
    limit = torch.finfo(wide).max
    if is_threefry(key):
        low, high = (xla.erf_of_normal(bound, wide) for bound in (lower, upper))
        draw = _erfinv_of_uniform(key, shape, low, high, wide)
        return draw.clamp(max(lower, -limit), min(upper, limit)).to(dtype)
    if lower >= _TAIL:
        return _normal_tail(key, shape, lower, upper, wide).clamp(lower, upper).to(dtype)
    if upper <= -_TAIL:
        return -_normal_tail(key, shape, -upper, -lower, wide).clamp(-upper, -lower).to(dtype)
    # The open interval (-1, 1), where erfinv is finite.
    edge = 1.0 - torch.finfo(wide).eps / 2
    low, high = (max(-edge, min(edge, math.erf(bound / math.sqrt(2)))) for bound in (lower, upper))
    return _erfinv_of_uniform(key, shape, low, high, wide).clamp(max(lower, -limit), min(upper, limit)).to(dtype)


def gumbel(key: Key, shape: Shape = (), *, dtype: torch.dtype = torch.float32) -> Float[Tensor, "*shape"]:
    """Draws from the standard Gumbel distribution, as `-log(-log(u))` with u uniform in (0, 1).

    Args:
        key: a key not used before.
        shape: the shape of the result; an int is one size.
        dtype: float32, float64, float16 or bfloat16; half types are computed in float32 and rounded.

    Returns:
        The draws, on the key's device; eager and compiled draws may differ by a few ulp.

    Raises:
        TypeError: `dtype` is not floating-point.

    >>> from funcdl import random
    >>> random.gumbel(random.key(0), (2,))
    tensor([0.0848, 2.0617])

    Source: `jax.random.gumbel`.
    """
    wide, shape = computing_dtype("gumbel", dtype), as_shape("gumbel", shape)
    return -torch.log(-torch.log(_uniform(key, shape, torch.finfo(wide).tiny, 1.0, wide, wide))).to(dtype)


def exponential(key: Key, shape: Shape = (), *, dtype: torch.dtype = torch.float32) -> Float[Tensor, "*shape"]:
    """Draws from the exponential distribution of mean 1, as `-log(1 - u)` with u uniform in [0, 1).

    Args:
        key: a key not used before.
        shape: the shape of the result; an int is one size.
        dtype: float32, float64, float16 or bfloat16; half types are computed in float32 and rounded.

    Returns:
        The draws, on the key's device; eager and compiled draws may differ by a few ulp.

    Raises:
        TypeError: `dtype` is not floating-point.

    >>> from funcdl import random
    >>> random.exponential(random.key(0), (2,))
    tensor([0.5092, 2.1246])

    Source: `jax.random.exponential`.
    """
    wide, shape = computing_dtype("exponential", dtype), as_shape("exponential", shape)
    u = _uniform(key, shape, 0.0, 1.0, wide, wide)
    return -(xla.log1p(-u) if is_threefry(key) else torch.log1p(-u)).to(dtype)


def computing_dtype(name: str, dtype: torch.dtype) -> torch.dtype:
    """Returns the dtype in which to compute draws of a floating-point dtype."""
    if dtype not in _FLOATS:
        given = described(dtype)
        raise TypeError(f"random.{name}: dtype={given}, expected one of float32, float64, float16 and bfloat16")
    return torch.float64 if dtype == torch.float64 else torch.float32


def _uniform(
    key: Key,
    shape: tuple[int, ...],
    low: float,
    high: float,
    wide: torch.dtype,
    dtype: torch.dtype,
    below: float | None = None,
) -> Tensor:
    """Draws between two bounds; `below` is the largest valid result, in case that rounding exceeds it."""
    too_wide = high - low > torch.finfo(wide).max / 2
    if too_wide:  # avoids overflow; scaling by a power of two is exact
        low, high = low / 4, high / 4
    if is_threefry(key) and dtype == wide and not too_wide:
        below = None  # has to equal JAX, which does not clamp
    if wide == torch.float64:
        unit = unsigned_wide_words(key, shape, 52).to(wide) * 2.0**-52
        span = high - low
    else:
        # In place, because for a million words new memory costs as much as the arithmetic.
        unit = words(key, shape).bitwise_right_shift_(9).bitwise_and_(0x7FFFFF).to(wide).mul_(2.0**-23)
        low, high = to_float32(low), to_float32(high)
        span = to_float32(high - low)
    if dtype != wide:
        unit = unit.clamp(max=1.0 - torch.finfo(dtype).eps / 2)  # larger numbers would be rounded to 1
    if (low, high) != (0.0, 1.0):
        unit = xla.multiply_add(unit, span, low) if is_threefry(key) else _scale(unit, span).add(low)
        if too_wide:
            unit, low = unit * 4, low * 4
        unit = unit.clamp(min=low, max=below)
    return unit.to(dtype)


def _scale(unit: Tensor, span: float) -> Tensor:
    """Multiplies and rounds the product, even where a GPU kernel would use a fused multiply-add."""
    if unit.dtype == torch.float64 or math.frexp(span)[0] == 0.5:  # a product with a power of two is exact
        return unit * span
    return (unit.to(torch.float64) * span).to(unit.dtype)


def _normal_tail(key: Key, shape: tuple[int, ...], near: float, far: float, wide: torch.dtype) -> Tensor:
    """Draws from the tail of the standard normal distribution between two bounds, in float64; `far` may be infinite.

    The tail probability is S(x) = exp(-x^2 / 2) erfcx(x / sqrt(2)) / 2. A draw near + d solves the equation
    log S(near + d) - log S(near) = log(1 - u (1 - S(far) / S(near))), in which only quotients of S occur, so that
    nothing underflows. Newton's method takes three steps from the solution d without the factor erfcx, which is larger.
    """

    def scaled(x: Tensor) -> Tensor:
        return torch.special.erfcx(x * math.sqrt(0.5))

    at_near = scaled(torch.full((), near, dtype=torch.float64, device=key.device))
    between: float | Tensor = 1.0
    if far < math.inf:
        at_far = scaled(torch.full((), far, dtype=torch.float64, device=key.device))
        between = -torch.expm1((at_far / at_near).log() - (far - near) * (0.5 * far + 0.5 * near))
    u = _uniform(key, shape, 0.0, 1.0, wide, wide).to(torch.float64)
    log_share = torch.log1p(-u * between)
    excess = -2 * log_share / (near + (near * near - 2 * log_share).sqrt())
    for _ in range(3):
        ratio = scaled(near + excess) / at_near
        too_far = excess * (near + 0.5 * excess) - ratio.log() + log_share
        excess = excess - too_far * ratio * at_near * math.sqrt(math.pi / 2)
    return near + excess


def _erfinv_of_uniform(key: Key, shape: tuple[int, ...], low: float, high: float, wide: torch.dtype) -> Tensor:
    u = _uniform(key, shape, low, high, wide, wide)
    return (xla.erfinv(u) if is_threefry(key) else torch.erfinv(u)) * math.sqrt(2)
