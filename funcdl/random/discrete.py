"""Discrete distributions, derived from the 32-bit words of a key as JAX derives them.

`bernoulli`, `randint`, `permutation` and `choice` give the same results eager, compiled and vmapped on every device; so
do `categorical`, and `choice` without replacement by weights, but for near ties, since logarithms decide them.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from funcdl.random import xla
from funcdl.random.continuous import computing_dtype, gumbel, uniform
from funcdl.random.keys import Key, Shape, bits, split, unsigned_words
from funcdl.random.xla import to_float32


def bernoulli(
    key: Key, p: float | Float[Tensor, "*#shape"] = 0.5, shape: Shape | None = None
) -> Bool[Tensor, "*shape"]:
    """Draws truth values that are True with probability `p`: `uniform(key, shape) < p`.

    Args:
        key: a key not used before.
        p: the probability of True in [0, 1]; a number, or a floating tensor that broadcasts to `shape`, whose dtype the
            uniform draws have.
        shape: of the result; the shape of `p` if None.

    Returns:
        The draws, on the key's device.

    Raises:
        ValueError: `p` is a number outside [0, 1], or a tensor that does not broadcast to `shape`.

    >>> from funcdl import random
    >>> random.bernoulli(random.key(0), 0.8, (4,))
    tensor([ True, False,  True,  True])

    Source: `jax.random.bernoulli`.
    """
    if not isinstance(p, Tensor):
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"random.bernoulli: p={p}, expected a probability in [0, 1]")
        # k 2^-23 < p, with k the upper 23 bits of a word, in integers: half the operations
        upper_bits = bits(key, () if shape is None else shape).bitwise_right_shift_(9).bitwise_and_(0x7FFFFF)
        return upper_bits < math.ceil(to_float32(p) * 2**23)
    shape = p.shape if shape is None else tuple(shape)
    _check_broadcast("bernoulli", "p", p.shape, shape)
    return uniform(key, shape, dtype=p.dtype) < p


def randint(key: Key, shape: Shape, low: int, high: int, *, dtype: torch.dtype = torch.int64) -> Int[Tensor, "*shape"]:
    """Draws integers from {low, ..., high - 1}.

    With words h and l from two keys split off and n = high - low, the result is `low + (h 2^32 + l) mod n` for n up to
    2^16, where no probability is off by more than 2^-48 of itself, and `low + l mod n` above, where n 2^-32 of it is.

    Args:
        key: a key not used before.
        shape: of the result.
        low: the least value.
        high: one more than the greatest value; at most `low + 2^32`.
        dtype: any integer dtype that holds the values; the values do not depend on it.

    Returns:
        The draws, on the key's device.

    Raises:
        ValueError: `low >= high`, the range is wider than 2^32, or the dtype does not hold it.
        TypeError: not an integer dtype.

    >>> from funcdl import random
    >>> random.randint(random.key(0), (5,), 0, 10)
    tensor([0, 3, 6, 0, 8])

    Source: `jax.random.randint` for dtypes of up to 32 bits; for 64 bits, which JAX takes with `jax_enable_x64`, the
    values there are others.
    """
    if dtype.is_floating_point or dtype.is_complex or dtype == torch.bool:
        raise TypeError(f"random.randint: dtype={dtype}, expected an integer dtype such as torch.int64")
    if not low < high <= low + 2**32:
        raise ValueError(f"random.randint: low={low} and high={high}, expected low < high <= low + 2**32")
    limits = torch.iinfo(dtype)
    if low < limits.min or high - 1 > limits.max:
        raise ValueError(f"random.randint: low={low} and high={high} do not fit {dtype}; pass a wider dtype")
    n = high - low
    higher_key, lower_key = split(key)
    offset = unsigned_words(lower_key, shape) % n
    if n <= 2**16:
        offset = (unsigned_words(higher_key, shape) % n * (2**32 % n) + offset) % n
    return (offset + low).to(dtype)


def permutation(key: Key, x: int | Shaped[Tensor, "n ..."]) -> Shaped[Tensor, "n ..."]:
    """Shuffles: every order of 0 ... n - 1, or of the rows of a tensor, is equally likely.

    Rounds of stable sorting by 32-bit words, as many as make equal words immaterial: ceil(3 ln n / ln(2^32 - 1)).

    Args:
        key: a key not used before.
        x: the number n of integers to shuffle, at least 1, or a tensor whose first axis is shuffled.

    Returns:
        An int64 tensor with 0 ... n - 1 in random order, or the tensor with its rows in random order.

    Raises:
        ValueError: n is less than 1, or the tensor has no axis.

    >>> from funcdl import random
    >>> random.permutation(random.key(0), 5).sort().values
    tensor([0, 1, 2, 3, 4])

    Source: `jax.random.permutation`.
    """
    if isinstance(x, Tensor):
        if x.ndim == 0:
            raise ValueError("random.permutation: x is a 0-dim tensor, expected an int or a tensor with rows")
        n = x.shape[0]
    else:
        n = x
        if n < 1:
            raise ValueError(f"random.permutation: n={n}, expected at least 1")
    order = torch.arange(n, device=key.device)
    for _ in range(math.ceil(3 * math.log(max(1, n)) / math.log(2**32 - 1))):
        key, round_key = split(key)
        # Adding 2^31 modulo 2^32 turns the order of unsigned words into that of signed ones.
        order = order[torch.argsort(bits(round_key, (n,)) ^ -(2**31), stable=True)]
    return x[order] if isinstance(x, Tensor) else order


def choice(
    key: Key,
    a: int | Shaped[Tensor, "n ..."],
    shape: Shape = (),
    replace: bool = True,
    p: Float[Tensor, " n"] | None = None,
) -> Shaped[Tensor, "*shape ..."]:
    """Draws from 0 ... n - 1, or rows of a tensor, with or without replacement.

    Without weights, numbers from `randint`, or the first of a `permutation`. With weights, the first numbers whose
    cumulated weights reach `total (1 - uniform)`, or without replacement those with the greatest `log(p) + gumbel`.

    Args:
        key: a key not used before.
        a: the number n of integers to draw from, at least 1, or a tensor whose first axis is drawn from.
        shape: of the draws.
        replace: whether a number may be drawn more than once.
        p: weights, at least 0, which need not sum to 1; equal ones if None. Without replacement at least as many as
            are drawn must be above 0.

    Returns:
        int64 numbers of this shape, or the rows of the tensor in it, `(*shape, *a.shape[1:])`.

    Raises:
        ValueError: n is less than 1, less than the number of draws without replacement, or not the length of `p`.
        TypeError: `p` has no floating dtype.

    >>> from funcdl import random
    >>> random.choice(random.key(0), 5, (3,), replace=False)
    tensor([3, 0, 1])
    >>> random.choice(random.key(0), torch.tensor([10, 20, 30]), (4,), p=torch.tensor([0.0, 0.5, 0.5]))
    tensor([30, 20, 20, 20])

    Source: `jax.random.choice`.
    """
    if isinstance(a, Tensor) and a.ndim == 0:
        raise ValueError("random.choice: a is a 0-dim tensor, expected an int or a tensor with rows")
    n, draws = a.shape[0] if isinstance(a, Tensor) else a, math.prod(shape)
    if n < 1:
        raise ValueError(f"random.choice: a has n={n} to draw from, expected at least 1")
    if not replace and draws > n:
        raise ValueError(f"random.choice: shape={tuple(shape)} asks for more than n={n} draws; pass replace=True")
    if p is not None and p.shape != (n,):
        raise ValueError(f"random.choice: p has shape {tuple(p.shape)}, expected ({n},), a weight for each of a")
    if p is None:
        indices = randint(key, shape, 0, n) if replace else permutation(key, n)[:draws].view(tuple(shape))
    elif replace:
        cumulated = xla.cumsum(p.to(computing_dtype("choice", p.dtype)))
        indices = torch.searchsorted(cumulated, cumulated[-1] * (1.0 - uniform(key, shape, dtype=cumulated.dtype)))
    else:
        scores = gumbel(key, (n,), dtype=computing_dtype("choice", p.dtype)) + p.log()
        indices = torch.argsort(scores, descending=True, stable=True)[:draws].view(tuple(shape))
    return a[indices] if isinstance(a, Tensor) else indices


def categorical(
    key: Key, logits: Float[Tensor, "*batch"], *, dim: int = -1, shape: Shape | None = None
) -> Int[Tensor, "*shape"]:
    """Draws indices along `dim` with probabilities `softmax(logits, dim)`: the argmax of `logits + gumbel`.

    Args:
        key: a key not used before.
        logits: unnormalised log-probabilities; -inf excludes an index.
        dim: the axis of the categories.
        shape: of the result; the shape of `logits` without `dim`, which must broadcast to it and is its value if None.
            Each entry is a draw of its own.

    Returns:
        int64 indices, on the key's device.

    Raises:
        ValueError: the logits have no axis `dim`, or without it do not broadcast to `shape`.

    >>> from funcdl import random
    >>> random.categorical(random.key(0), torch.tensor([[0.0, 9.0], [9.0, 0.0]]))
    tensor([1, 0])

    Source: `jax.random.categorical`.
    """
    if not -logits.ndim <= dim < logits.ndim:
        raise ValueError(f"random.categorical: dim={dim}, expected an axis of logits of shape {tuple(logits.shape)}")
    dim = dim % logits.ndim - logits.ndim  # counted from the end, it is the same axis of the noise
    batch = [*logits.shape]
    categories = batch.pop(dim)
    noise_shape = batch if shape is None else [*shape]
    _check_broadcast("categorical", "a row of logits", batch, noise_shape)
    noise_shape.insert(len(noise_shape) + 1 + dim, categories)
    return (gumbel(key, noise_shape, dtype=computing_dtype("categorical", logits.dtype)) + logits).argmax(dim)


def _check_broadcast(name: str, argument: str, given: Shape, shape: Shape) -> None:
    fits = len(given) <= len(shape) and all(a in (1, b) for a, b in zip(reversed(given), reversed(shape), strict=False))
    if not fits:
        raise ValueError(
            f"random.{name}: {argument} has shape {tuple(given)}, expected one that broadcasts to shape={tuple(shape)}"
        )
