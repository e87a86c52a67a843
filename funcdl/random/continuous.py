"""Continuous distributions, derived from the 32-bit words of a key as JAX derives them.

`uniform` gives the same bits eager, compiled and vmapped on every device. The others pass through library functions,
such as the logarithm, whose last bits differ between an eager and a compiled kernel.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from funcdl.random import xla
from funcdl.random.keys import Key, Shape, bits, is_threefry, unsigned_wide_words
from funcdl.random.xla import to_float32

_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def uniform(
    key: Key, shape: Shape = (), *, low: float = 0.0, high: float = 1.0, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "*shape"]:
    """Draws from the uniform distribution on [low, high).

    With `k` the upper 23 bits of a word, the result is `max(low, k 2^-23 (high - low) + low)`; for float64 the upper 52
    bits of two words, the first word above the second. Half types are computed in float32 and rounded.

    Args:
        key: a key not used before.
        shape: of the result.
        low: the least value, finite.
        high: the bound above, finite and above `low`. It is never reached with the defaults; with bounds of other
            magnitudes the last rounding may reach it, as in `jax.random.uniform`.
        dtype: float32, float64, float16 or bfloat16.

    Returns:
        The draws, on the key's device. In float64 with bounds other than 0 and 1 a compiled GPU kernel may round the
        product and the sum at once, and then differ in the last bit.

    Raises:
        ValueError: `low >= high`, or one is not finite.
        TypeError: not a floating dtype.

    >>> from funcdl import random
    >>> random.uniform(random.key(0), (3,))
    tensor([0.3990, 0.8805, 0.7357])

    Source: `jax.random.uniform`; half types there have draws of their own. With a Threefry key the product and the sum
    are rounded at once, as there.
    """
    wide = computing_dtype("uniform", dtype)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"random.uniform: low={low} and high={high}, expected finite numbers with low < high")
    return _uniform(key, shape, low, high, wide, dtype)


def normal(
    key: Key,
    shape: Shape = (),
    *,
    mean: float | Tensor = 0.0,
    std: float | Tensor = 1.0,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "*shape"]:
    """Draws from the normal distribution, as `mean + std sqrt(2) erfinv(u)` with u uniform in (-1, 1).

    Args:
        key: a key not used before.
        shape: of the result.
        mean: of the distribution; a number, or a tensor that broadcasts to `shape`.
        std: the standard deviation, likewise, at least 0.
        dtype: float32, float64, float16 or bfloat16; half types are computed in float32 and rounded.

    Returns:
        The draws, on the key's device; eager and compiled draws may differ by a few ulp.

    Raises:
        ValueError: `std` is a negative number.
        TypeError: not a floating dtype.

    >>> from funcdl import random
    >>> random.normal(random.key(0), (3,), std=0.1)
    tensor([-0.0256,  0.1178,  0.0630])

    Source: `jax.random.normal`.
    """
    wide = computing_dtype("normal", dtype)
    if not isinstance(std, Tensor) and not std >= 0:
        raise ValueError(f"random.normal: std={std}, expected a standard deviation of at least 0")
    draw = _erfinv_of_uniform(key, shape, -1.0 + torch.finfo(wide).eps / 2, 1.0, wide)
    if isinstance(std, Tensor) or std != 1.0:
        draw = draw * std
    if isinstance(mean, Tensor) or mean != 0.0:
        draw = draw + mean
    return draw.to(dtype)


def truncated_normal(
    key: Key, shape: Shape = (), *, lower: float, upper: float, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "*shape"]:
    """Draws from the standard normal distribution on condition that the draw lies in [lower, upper].

    The result is `sqrt(2) erfinv(u)` with u uniform between `erf(lower / sqrt(2))` and `erf(upper / sqrt(2))`, clamped.

    Args:
        key: a key not used before.
        shape: of the result.
        lower: the lower bound, in standard deviations; may be `-math.inf`.
        upper: the upper bound, above `lower`; may be `math.inf`. Far out in a tail (both bounds beyond 4, or 7 in
            float64) the error function has rounded to 1 and the draws are coarse.
        dtype: float32, float64, float16 or bfloat16; half types are computed in float32 and rounded.

    Returns:
        The draws, on the key's device; eager and compiled draws may differ by a few ulp.

    Raises:
        ValueError: `lower >= upper`.
        TypeError: not a floating dtype.

    >>> from funcdl import random
    >>> draws = random.truncated_normal(random.key(0), (1000,), lower=-2.0, upper=2.0)
    >>> bool((draws.abs() <= 2).all())
    True

    Source: `jax.random.truncated_normal`, whose bounds are excluded.
    """
    wide = computing_dtype("truncated_normal", dtype)
    if not lower < upper:
        raise ValueError(f"random.truncated_normal: lower={lower} and upper={upper}, expected lower < upper")
    if is_threefry(key):
        limit = torch.finfo(wide).max
        low, high = (xla.erf_of_normal(bound, wide) for bound in (lower, upper))
        draw = _erfinv_of_uniform(key, shape, low, high, wide)
        return draw.clamp(max(lower, -limit), min(upper, limit)).to(dtype)
    # The open interval (-1, 1), where erfinv is finite.
    edge = 1.0 - torch.finfo(wide).eps / 2
    low, high = (max(-edge, min(edge, math.erf(bound / math.sqrt(2)))) for bound in (lower, upper))
    return _erfinv_of_uniform(key, shape, low, high, wide).clamp(lower, upper).to(dtype)


def gumbel(key: Key, shape: Shape = (), *, dtype: torch.dtype = torch.float32) -> Float[Tensor, "*shape"]:
    """Draws from the standard Gumbel distribution, as `-log(-log(u))` with u uniform in (0, 1).

    Args:
        key: a key not used before.
        shape: of the result.
        dtype: float32, float64, float16 or bfloat16; half types are computed in float32 and rounded.

    Returns:
        The draws, on the key's device; eager and compiled draws may differ by a few ulp.

    Raises:
        TypeError: not a floating dtype.

    >>> from funcdl import random
    >>> random.gumbel(random.key(0), (2,))
    tensor([0.0848, 2.0617])

    Source: `jax.random.gumbel`.
    """
    wide = computing_dtype("gumbel", dtype)
    return -torch.log(-torch.log(_uniform(key, shape, torch.finfo(wide).tiny, 1.0, wide, wide))).to(dtype)


def exponential(key: Key, shape: Shape = (), *, dtype: torch.dtype = torch.float32) -> Float[Tensor, "*shape"]:
    """Draws from the exponential distribution of mean 1, as `-log(1 - u)` with u uniform in [0, 1).

    Args:
        key: a key not used before.
        shape: of the result.
        dtype: float32, float64, float16 or bfloat16; half types are computed in float32 and rounded.

    Returns:
        The draws, on the key's device; eager and compiled draws may differ by a few ulp.

    Raises:
        TypeError: not a floating dtype.

    >>> from funcdl import random
    >>> random.exponential(random.key(0), (2,))
    tensor([0.5092, 2.1246])

    Source: `jax.random.exponential`.
    """
    wide = computing_dtype("exponential", dtype)
    u = _uniform(key, shape, 0.0, 1.0, wide, wide)
    return -(xla.log1p(-u) if is_threefry(key) else torch.log1p(-u)).to(dtype)


def computing_dtype(name: str, dtype: torch.dtype) -> torch.dtype:
    """Returns the dtype to compute in."""
    if dtype not in _FLOATS:
        raise TypeError(f"random.{name}: dtype={dtype}, expected one of float32, float64, float16 and bfloat16")
    return torch.float64 if dtype == torch.float64 else torch.float32


def _uniform(key: Key, shape: Shape, low: float, high: float, wide: torch.dtype, dtype: torch.dtype) -> Tensor:
    if wide == torch.float64:
        unit = unsigned_wide_words(key, shape, 52).to(wide) * 2.0**-52
        span = high - low
    else:
        # Written over the words just drawn: on a million of them fresh memory costs as much as the arithmetic.
        unit = bits(key, shape).bitwise_right_shift_(9).bitwise_and_(0x7FFFFF).to(wide).mul_(2.0**-23)
        low, high = to_float32(low), to_float32(high)
        span = to_float32(high - low)
    if dtype != wide:
        unit = unit.clamp(max=1.0 - torch.finfo(dtype).eps / 2)  # what lies above would be rounded to 1
    if (low, high) != (0.0, 1.0):
        unit = xla.multiply_add(unit, span, low) if is_threefry(key) else _scale(unit, span).add(low)
        unit = unit.clamp(min=low)
    return unit.to(dtype)


def _scale(unit: Tensor, span: float) -> Tensor:
    """Multiplies, rounding the product, which a GPU kernel would else keep exact in a fused multiply-add."""
    if unit.dtype == torch.float64 or math.frexp(span)[0] == 0.5:  # a product with a power of two is exact anyhow
        return unit * span
    return (unit.to(torch.float64) * span).to(unit.dtype)


def _erfinv_of_uniform(key: Key, shape: Shape, low: float, high: float, wide: torch.dtype) -> Tensor:
    u = _uniform(key, shape, low, high, wide, wide)
    return (xla.erfinv(u) if is_threefry(key) else torch.erfinv(u)) * math.sqrt(2)
