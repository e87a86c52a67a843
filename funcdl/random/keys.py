"""Keys: made from a seed, derived from each other, and read as 32-bit words.

A generator is a module with three functions, `split(key, num)`, `fold_in(key, data)` and `bits(key, shape)`, giving
a fresh tensor that distributions write over; a key tells by its dtype which generator it belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import torch
from jaxtyping import Int32, Int64, UInt64
from torch import Tensor

from funcdl.random import philox

Key = UInt64[Tensor, "2"]
Shape = Sequence[int]

_GENERATORS = {torch.uint64: philox}


def key(seed: int, *, device: torch.device | str | None = None) -> Key:
    """Makes a key of the Philox4x32-10 generator from a seed.

    Args:
        seed: an integer in [0, 2^64).
        device: where the key lies and everything drawn from it will; torch's default device if None.

    Returns:
        The key `(seed, 0)`, equal to `torch.func._random.key(seed)`.

    Raises:
        TypeError: the seed is not an integer.
        ValueError: the seed is outside [0, 2^64).

    >>> from funcdl import random
    >>> random.key(42)
    tensor([42,  0], dtype=torch.uint64)
    """
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise TypeError(f"random.key: the seed is {seed!r}, expected an int; for a tensor use fold_in(key(0), tensor)")
    if not 0 <= seed < 2**64:
        raise ValueError(f"random.key: the seed is {seed}, expected 0 <= seed < 2**64; take seed % 2**64")
    return philox.from_seed(seed, device)


def split(key: Key, num: int = 2) -> UInt64[Tensor, "num 2"]:
    """Derives `num` keys whose streams are independent of each other; `key` is spent.

    Args:
        key: a key not used before.
        num: how many, at least 1.

    Returns:
        The keys as rows of a (num, 2) tensor, which unpacks: `a, b = split(key)`. Row `i` does not depend on `num` and
        is `fold_in(key, i)`. Equal to `torch.func._random.split(key, num)`.

    >>> from funcdl import random
    >>> a, b = random.split(random.key(42))
    >>> a
    tensor([8643895580192075859, 6287785766076502189], dtype=torch.uint64)
    """
    generator = _generator(key)
    if isinstance(num, bool) or num < 1:
        raise ValueError(f"random.split: num is {num}, expected at least 1 key")
    return generator.split(key, num)


def fold_in(key: Key, data: int | Int64[Tensor, ""]) -> Key:
    """Derives the key numbered `data`, such as a step or a layer's index: `split(key, n)[data]` for any n > data.

    Different `data` give independent keys, so `key` may be folded with many numbers; it must not also be split (which
    gives the same keys again) or drawn from.

    Args:
        key: a key not used before, other than by `fold_in` with other numbers.
        data: an int in [-2^63, 2^64), or a 0-dim int64 tensor, which can vary inside one compiled graph; negative
            numbers count modulo 2^64.

    Returns:
        The derived key. Equal to `torch.func._random.fold_in(key, data)`.

    >>> from funcdl import random
    >>> parent = random.key(42)
    >>> bool((random.fold_in(parent, 7).view(torch.int64) == random.split(parent, 8)[7].view(torch.int64)).all())
    True
    """
    generator = _generator(key)
    if not isinstance(data, Tensor):
        if not -(2**63) <= data < 2**64:
            raise ValueError(f"random.fold_in: data is {data}, expected -2**63 <= data < 2**64")
        data = torch.full((), data - 2**64 if data >= 2**63 else data, dtype=torch.int64, device=key.device)
    elif data.dtype != torch.int64 or data.ndim != 0:
        raise ValueError(
            f"random.fold_in: data is {_describe(data)}, expected an int or a 0-dim int64 tensor; "
            "for many numbers use vmap over data"
        )
    return generator.fold_in(key, data)


def bits(key: Key, shape: Shape = ()) -> Int32[Tensor, "*shape"]:
    """Draws uniformly distributed 32-bit words.

    Args:
        key: a key not used before.
        shape: of the result.

    Returns:
        The bit patterns of uint32 words as int32. For Philox equal to `torch.func._random.bits(key, shape)`.

    >>> from funcdl import random
    >>> [hex(word & 0xFFFFFFFF) for word in random.bits(random.key(42), (3,)).tolist()]
    ['0x9ceaf053', '0x77f5493b', '0x12bf50ad']
    """
    return _generator(key).bits(key, shape)


def unsigned_words(key: Key, shape: Shape) -> Int64[Tensor, "*shape"]:
    """Draws words as numbers in [0, 2^32)."""
    return bits(key, shape).to(torch.int64) & 0xFFFFFFFF


def _generator(key: Tensor) -> ModuleType:
    if isinstance(key, Tensor) and key.dtype in _GENERATORS and key.shape == (2,):
        return _GENERATORS[key.dtype]
    if isinstance(key, Tensor) and key.dtype in _GENERATORS and key.shape[-1:] == (2,):
        raise ValueError(f"random: got keys of shape {tuple(key.shape)}, expected one key; use vmap over the keys")
    raise TypeError(
        f"random: the key is {_describe(key)}, expected a uint64 tensor of shape (2,) from random.key(seed)"
    )


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of {value.dtype} and shape {tuple(value.shape)}"
    return repr(value)
