"""Discrete distributions, derived from the 32-bit words of a key in the same way as in JAX.

`bernoulli`, `randint`, `permutation` and `choice` give the same results eager, compiled and vmapped on every device.
`categorical`, and weighted `choice` without replacement, do so except for near ties, because they compare logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from funcdl.context import values_are_known
from funcdl.random import xla
from funcdl.random.arguments import (
    INTEGER_DTYPES,
    Shape,
    as_integer,
    as_number,
    as_shape,
    as_tensor,
    check_broadcast,
    check_values,
    described,
)
from funcdl.random.continuous import computing_dtype, gumbel, uniform
from funcdl.random.keys import Key, device_of, is_threefry, split, unsigned_words, words
from funcdl.random.xla import to_float32


def bernoulli(
    key: Key, p: float | Sequence[float] | Float[Tensor, "*#shape"] = 0.5, shape: Shape | None = None
) -> Bool[Tensor, "*shape"]:
    """Draws truth values that are True with probability `p`: `uniform(key, shape) < p`.

    Args:
        key: a key not used before.
        p: the probability of True, in [0, 1]: a number, or a floating-point tensor or a list that broadcasts to
            `shape`. The uniform draws have the dtype of a tensor. The values in a tensor are not checked in a graph, or
            where `vmap` maps over them; NaN and numbers below 0 then count as 0, and numbers above 1 as 1.
        shape: the shape of the result; an int is one size. The shape of `p` if None.

    Returns:
        The draws, on the key's device.

    Raises:
        ValueError: `p` is outside of [0, 1], or does not broadcast to `shape`.
        TypeError: `p` is neither a number nor floating-point.

    >>> from funcdl import random
    >>> random.bernoulli(random.key(0), 0.8, (4,))
    tensor([ True, False,  True,  True])

    Source: `jax.random.bernoulli`.
    """
    shape = None if shape is None else as_shape("bernoulli", shape)
    if not isinstance(p, (Tensor, list, tuple, np.ndarray)):
        p = as_number("bernoulli", "p", p)
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"random.bernoulli: p={p}, expected a probability in [0, 1]")
        # k 2^-23 < p for the upper 23 bits k of a word, compared as integers, which needs half the operations
        upper_bits = words(key, () if shape is None else shape).bitwise_right_shift_(9).bitwise_and_(0x7FFFFF)
        return upper_bits < math.ceil(to_float32(p) * 2**23)
    p = as_tensor("bernoulli", "p", p, torch.float32, device_of(key))
    computing_dtype("bernoulli", p.dtype)
    shape = p.shape if shape is None else shape
    check_broadcast("bernoulli", "p", p.shape, shape)
    if values_are_known(p):
        check_values("bernoulli", "p", p, (p >= 0) & (p <= 1), "probabilities in [0, 1]")
    return uniform(key, shape, dtype=p.dtype) < p


def randint(key: Key, shape: Shape, low: int, high: int, *, dtype: torch.dtype = torch.int64) -> Int[Tensor, "*shape"]:
    """Draws integers from {low, ..., high - 1}.

    With n = high - low and words h and l from two derived keys, the result is `low + (h 2^32 + l) mod n` for n up to
    2^16. For larger n, with r = 2^32 mod n, it is `low + l mod n` if l < 2^32 - r, and otherwise
    `low + (h r + l - (2^32 - r)) mod n`. The relative error of each probability is therefore at most 2^-32. (With a
    Threefry key it is `low + l mod n` for all larger n, as in JAX, with a relative error of up to n 2^-32.)

    Args:
        key: a key not used before.
        shape: the shape of the result; an int is one size.
        low: the smallest value.
        high: one more than the largest value; at most `low + 2^32`.
        dtype: any integer dtype that can represent the values, which do not depend on it.

    Returns:
        The draws, on the key's device.

    Raises:
        ValueError: `low >= high`, the range is wider than 2^32, or the dtype cannot represent it.
        TypeError: `dtype` is not an integer dtype, or a bound is not an int.

    >>> from funcdl import random
    >>> random.randint(random.key(0), (5,), 0, 10)
    tensor([0, 3, 6, 0, 8])

    Source: `jax.random.randint` for dtypes of up to 32 bits. JAX's values for 64 bits (with `jax_enable_x64`) are
    different.
    """
    if dtype not in INTEGER_DTYPES:
        raise TypeError(f"random.randint: dtype={described(dtype)}, expected an integer dtype such as torch.int64")
    shape = as_shape("randint", shape)
    low, high = as_integer("randint", "low", low), as_integer("randint", "high", high)
    if not low < high <= low + 2**32:
        raise ValueError(f"random.randint: low={low} and high={high}, expected low < high <= low + 2**32")
    limits = torch.iinfo(dtype)
    if low < limits.min or high - 1 > limits.max:
        raise ValueError(f"random.randint: low={low} and high={high} do not fit {dtype}; pass a wider dtype")
    n = high - low
    higher_key, lower_key = split(key)
    word, rest = unsigned_words(lower_key, shape), 2**32 % n
    if n <= 2**16:
        offset = (unsigned_words(higher_key, shape) % n * rest + word % n) % n
    elif rest and not is_threefry(key):
        beyond = word - (2**32 - rest)  # at least 0 for the words that would bias the result towards small numbers
        offset = torch.where(beyond < 0, word, unsigned_words(higher_key, shape) * rest + beyond) % n
    else:
        offset = word % n
    return (offset + (low if low < 2**63 else low - 2**64)).to(dtype)  # int64 wraps around twice


def permutation(key: Key, x: int | Sequence[float] | Shaped[Tensor, "n ..."]) -> Shaped[Tensor, "n ..."]:
    """Returns a random permutation of 0 ... n - 1, or of the rows of a tensor.

    It sorts by random 32-bit words, in ceil(3 ln n / ln(2^32 - 1)) rounds, so that ties have no effect.

    Args:
        key: a key not used before.
        x: the number n of integers to shuffle, at least 1, or a tensor or a list whose first axis is shuffled.

    Returns:
        An int64 tensor with 0 ... n - 1 in random order, or the tensor with its rows in random order.

    Raises:
        ValueError: n is less than 1, or the tensor has no axis.
        TypeError: `x` is neither an int nor a tensor nor a list of numbers.

    >>> from funcdl import random
    >>> random.permutation(random.key(0), 5).sort().values
    tensor([0, 1, 2, 3, 4])

    Source: `jax.random.permutation`.
    """
    device = device_of(key)
    rows, n = _rows("permutation", "x", x, device)
    if n < 1 and rows is None:
        raise ValueError(f"random.permutation: n={n}, expected at least 1")
    order = torch.arange(n, device=device)
    for _ in range(math.ceil(3 * math.log(max(1, n)) / math.log(2**32 - 1))):
        key, round_key = split(key)
        # Flipping the sign bit makes signed words sort like unsigned ones.
        order = order[torch.argsort(words(round_key, (n,)) ^ -(2**31), stable=True)]
    return order if rows is None else rows[order]


def choice(
    key: Key,
    a: int | Sequence[float] | Shaped[Tensor, "n ..."],
    shape: Shape = (),
    replace: bool = True,
    p: Sequence[float] | Float[Tensor, " n"] | None = None,
) -> Tensor:
    """Draws from 0 ... n - 1, or from the rows of a tensor, with or without replacement.

    Without weights these are numbers from `randint`, or the first numbers of a `permutation`. With weights they are the
    first numbers whose cumulative weights reach `total (1 - uniform)`, or without replacement the numbers with the
    largest `log(p) + gumbel`.

    Args:
        key: a key not used before.
        a: the number n of integers to draw from, at least 1, or a tensor or a list whose first axis is drawn from.
        shape: the shape of the draws; an int is one size.
        replace: whether a number may be drawn more than once.
        p: weights, finite and at least 0, which need not sum to 1; equal weights if None. At least one has to be above
            0, or without replacement as many as there are draws. They are not checked in a graph, or where `vmap` maps
            over them; with invalid weights the draws are then meaningless, and may be n with NaN.

    Returns:
        int64 numbers of this shape, or rows of the tensor, `(*shape, *a.shape[1:])`.

    Raises:
        ValueError: n is less than 1, less than the number of draws without replacement, or not the length of `p`, or
            the weights are invalid.
        TypeError: `p` is not floating-point, or `a` is neither an int nor a tensor nor a list of numbers.

    >>> from funcdl import random
    >>> random.choice(random.key(0), 5, (3,), replace=False)
    tensor([3, 0, 1])
    >>> random.choice(random.key(0), torch.tensor([10, 20, 30]), (4,), p=torch.tensor([0.0, 0.5, 0.5]))
    tensor([30, 20, 20, 20])

    Source: `jax.random.choice`.
    """
    shape, device = as_shape("choice", shape), device_of(key)
    rows, n = _rows("choice", "a", a, device)
    draws = math.prod(shape)
    if n < 1:
        raise ValueError(f"random.choice: a has n={n} to draw from, expected at least 1")
    if not replace and draws > n:
        raise ValueError(f"random.choice: shape={shape} asks for more than n={n} draws; pass replace=True")
    if p is None:
        indices = randint(key, shape, 0, n) if replace else permutation(key, n)[:draws].view(shape)
        return indices if rows is None else rows[indices]
    p = as_tensor("choice", "p", p, torch.float32, device)
    wide = computing_dtype("choice", p.dtype)
    if p.shape != (n,):
        raise ValueError(f"random.choice: p has shape {tuple(p.shape)}, expected ({n},), a weight for each of a")
    if values_are_known(p):
        check_values("choice", "p", p, (p >= 0) & (p < math.inf), "finite weights of at least 0")
        needed, positive = 1 if replace else draws, int((p > 0).sum())
        if positive < needed:
            raise ValueError(f"random.choice: p has {positive} weights above 0, expected {needed} or more")
    p = p.to(wide)
    if replace:
        p = torch.where(p.sum().isfinite(), p, p * 2.0**-40)  # avoids overflow; scaling by a power of two is exact
        cumulated = xla.cumsum(p)
        indices = torch.searchsorted(cumulated, cumulated[-1] * (1.0 - uniform(key, shape, dtype=wide)))
    else:
        scores = gumbel(key, (n,), dtype=wide) + p.log()
        indices = torch.argsort(scores, descending=True, stable=True)[:draws].view(shape)
    return indices if rows is None else rows[indices]


def categorical(
    key: Key, logits: Sequence[float] | Float[Tensor, "*batch"], *, dim: int = -1, shape: Shape | None = None
) -> Int[Tensor, "*shape"]:
    """Draws indices along `dim` with probabilities `softmax(logits, dim)`: the argmax of `logits + gumbel`.

    Args:
        key: a key not used before.
        logits: unnormalized log-probabilities, a tensor or a list; -inf excludes an index. They are not checked in a
            graph, or where `vmap` maps over them; the index of a NaN or inf is then drawn, or the first index if all
            are excluded.
        dim: the dimension of the categories.
        shape: the shape of the result; an int is one size. The shape of `logits` without `dim` has to broadcast to it,
            and is the default. All draws are independent.

    Returns:
        int64 indices, on the key's device.

    Raises:
        ValueError: the logits have no dimension `dim`, or do not broadcast to `shape` without it; there is no category;
            or a logit is NaN or inf, or all are -inf.
        TypeError: the logits are not floating-point.

    >>> from funcdl import random
    >>> random.categorical(random.key(0), torch.tensor([[0.0, 9.0], [9.0, 0.0]]))
    tensor([1, 0])

    Source: `jax.random.categorical`.
    """
    logits = as_tensor("categorical", "logits", logits, torch.float32, device_of(key))
    wide = computing_dtype("categorical", logits.dtype)
    dim = as_integer("categorical", "dim", dim)
    if not -logits.ndim <= dim < logits.ndim:
        raise ValueError(f"random.categorical: dim={dim}, expected an axis of logits of shape {tuple(logits.shape)}")
    dim = dim % logits.ndim - logits.ndim  # counted from the end, it is also the dimension of the noise
    batch = [*logits.shape]
    categories = batch.pop(dim)
    noise_shape = batch if shape is None else [*as_shape("categorical", shape)]
    check_broadcast("categorical", "a row of logits", batch, noise_shape)
    if categories == 0:
        raise ValueError(f"random.categorical: logits have shape {tuple(logits.shape)}, expected a category or more")
    if values_are_known(logits):
        check_values("categorical", "logits", logits, logits < math.inf, "numbers below inf")
        if (logits == -math.inf).all(dim).any():
            raise ValueError(
                "random.categorical: logits are all -inf in a row, expected a category that is not excluded"
            )
    noise_shape.insert(len(noise_shape) + 1 + dim, categories)
    return (gumbel(key, tuple(noise_shape), dtype=wide) + logits).argmax(dim)


def _rows(name: str, argument: str, x: Any, device: torch.device) -> tuple[Tensor | None, int]:
    """Returns the rows to draw from, or None for the numbers 0 ... n - 1, and n."""
    if isinstance(x, (list, tuple, np.ndarray)):
        x = as_tensor(name, argument, x, None, device)
    if not isinstance(x, Tensor):
        return None, as_integer(name, argument, x)
    if x.ndim == 0:
        raise ValueError(f"random.{name}: {argument} is a 0-dim tensor, expected an int or a tensor with rows")
    return x, x.shape[0]
