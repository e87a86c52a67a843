"""Keys: making one from a seed, deriving others from it, and drawing 32-bit words.

A generator is a module with the functions `from_seed(seed, device)`, `split(key, num)`, `fold_in(key, data)` for data
in the range `DATA`, `bits(key, shape)`, which returns a new tensor that distributions overwrite, and
`pairs(key, shape)`, which returns 64-bit words in two halves. The dtype of a key identifies its generator.
"""

from __future__ import annotations

from types import ModuleType

import torch
from jaxtyping import Int32, Int64, Shaped
from torch import Tensor

from funcdl.random import philox, threefry
from funcdl.random.arguments import Shape, as_integer, as_shape, described

Key = Shaped[Tensor, "2"]

_GENERATORS = {torch.uint64: philox, torch.int32: threefry}
_NAMES = {"philox": philox, "threefry2x32": threefry}


def key(seed: int, impl: str = "philox", *, device: torch.device | str | None = None) -> Key:
    """Makes a key from a seed.

    Args:
        seed: an integer in [0, 2^64).
        impl: the generator. "philox" is Philox4x32-10. "threefry2x32" is the generator of `jax.random`, for the same
            numbers as in a JAX program; it takes several times as long.
        device: the device of the key and of everything drawn from it; torch's default device if None.

    Returns:
        For Philox the uint64 key `(seed, 0)`, equal to `torch.func._random.key(seed)`. For Threefry the int32 key
        `(seed >> 32, seed mod 2^32)`, which is `jax.random.key_data(jax.random.key(seed))` viewed as int32 (JAX
        without `jax_enable_x64` drops the upper half of the seed).

    Raises:
        TypeError: the seed is not an integer.
        ValueError: the seed is outside [0, 2^64), or `impl` is unknown.

    >>> from funcdl import random
    >>> random.key(42)
    tensor([42,  0], dtype=torch.uint64)
    >>> random.key(42, impl="threefry2x32")
    tensor([ 0, 42], dtype=torch.int32)
    """
    if impl not in _NAMES:
        raise ValueError(f"random.key: impl is {impl!r}, expected one of {', '.join(map(repr, _NAMES))}")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise TypeError(f"random.key: the seed is {seed!r}, expected an int; for a tensor use fold_in(key(0), tensor)")
    if not 0 <= seed < 2**64:
        raise ValueError(f"random.key: the seed is {seed}, expected 0 <= seed < 2**64; take seed % 2**64")
    return _NAMES[impl].from_seed(seed, device)


def split(key: Key, num: int = 2) -> Shaped[Tensor, "num 2"]:
    """Derives `num` independent keys; `key` must not be used again.

    Args:
        key: a key not used before.
        num: the number of keys, at least 1.

    Returns:
        The keys as rows of a (num, 2) tensor, which can be unpacked: `a, b = split(key)`. Row `i` is `fold_in(key, i)`
        and does not depend on `num`. Equal to `torch.func._random.split(key, num)` for Philox, and to
        `jax.random.split(key, num)` for Threefry.

    Raises:
        TypeError: `num` is not an integer.
        ValueError: `num` is less than 1.

    >>> from funcdl import random
    >>> a, b = random.split(random.key(42))
    >>> a
    tensor([8643895580192075859, 6287785766076502189], dtype=torch.uint64)
    """
    generator = _generator(key)
    if not isinstance(num, int):
        num = as_integer("split", "num", num)
    if isinstance(num, bool) or num < 1:
        raise ValueError(f"random.split: num is {num}, expected at least 1 key")
    return generator.split(key, num)


def fold_in(key: Key, data: int | Int64[Tensor, ""]) -> Key:
    """Derives the key with the number `data`, such as a step or the index of a layer: `split(key, n)[data]`.

    Different numbers give independent keys, so that `key` may be used with many numbers. It must not also be split,
    which gives the same keys, or drawn from.

    Args:
        key: a key not used before, except by `fold_in` with other numbers.
        data: an int, or a 0-dim int64 tensor, which may vary in a compiled graph. For Philox it is in [-2^63, 2^64),
            modulo 2^64. For Threefry an int is in [0, 2^32); a tensor is taken modulo 2^32, as in JAX.

    Returns:
        The derived key. Equal to `torch.func._random.fold_in(key, data)` for Philox, and to
        `jax.random.fold_in(key, data)` for Threefry.

    Raises:
        TypeError: `data` is neither an int nor a tensor.
        ValueError: it is an int outside of the range, or a tensor of another dtype or shape.

    >>> from funcdl import random
    >>> parent = random.key(42)
    >>> bool((random.fold_in(parent, 7).view(torch.int64) == random.split(parent, 8)[7].view(torch.int64)).all())
    True
    """
    generator = _generator(key)
    if not isinstance(data, Tensor):
        if not isinstance(data, int):
            data = as_integer("fold_in", "data", data)
        low, high = generator.DATA.start, generator.DATA.stop
        if not low <= data < high:
            raise ValueError(f"random.fold_in: data is {data}, expected {low} <= data < {high} for this kind of key")
        data = torch.full((), data - 2**64 if data >= 2**63 else data, dtype=torch.int64, device=key.device)
    elif data.dtype != torch.int64 or data.ndim != 0:
        raise ValueError(
            f"random.fold_in: data is {described(data)}, expected an int or a 0-dim int64 tensor; "
            "for many numbers use vmap over data"
        )
    return generator.fold_in(key, data)


def bits(key: Key, shape: Shape = ()) -> Int32[Tensor, "*shape"]:
    """Draws uniformly distributed 32-bit words.

    Args:
        key: a key not used before.
        shape: the shape of the result; an int is one size.

    Returns:
        The bit patterns of uint32 words as int32. Equal to `torch.func._random.bits(key, shape)` for Philox, and to
        `jax.random.bits(key, shape, "uint32")` for Threefry.

    >>> from funcdl import random
    >>> [hex(word & 0xFFFFFFFF) for word in random.bits(random.key(42), (3,)).tolist()]
    ['0x9ceaf053', '0x77f5493b', '0x12bf50ad']
    """
    return _generator(key).bits(key, as_shape("bits", shape))


def words(key: Key, shape: tuple[int, ...]) -> Int32[Tensor, "*shape"]:
    """Like `bits`, for a shape that is already validated."""
    return _generator(key).bits(key, shape)


def unsigned_words(key: Key, shape: tuple[int, ...]) -> Int64[Tensor, "*shape"]:
    """Draws words as numbers in [0, 2^32)."""
    return words(key, shape).to(torch.int64) & 0xFFFFFFFF


def unsigned_wide_words(key: Key, shape: tuple[int, ...], count: int) -> Int64[Tensor, "*shape"]:
    """Draws 64-bit words and returns their upper `count` bits, at most 63, as numbers in [0, 2^count)."""
    high, low = (_generator(key).pairs(key, shape).to(torch.int64) & 0xFFFFFFFF).unbind(-1)
    return high << (count - 32) | low >> (64 - count)


def device_of(key: Key) -> torch.device:
    """Returns the device of a key, after checking that it is a key."""
    _generator(key)
    return key.device


def is_threefry(key: Key) -> bool:
    """Whether this is a Threefry key, whose draws have to equal those of `jax.random`."""
    return _generator(key) is threefry


def _generator(key: Tensor) -> ModuleType:
    if isinstance(key, Tensor) and key.dtype in _GENERATORS and key.shape == (2,):
        return _GENERATORS[key.dtype]
    if isinstance(key, Tensor) and key.dtype in _GENERATORS and key.shape[-1:] == (2,):
        raise ValueError(f"random: got keys of shape {tuple(key.shape)}, expected one key; use vmap over the keys")
    raise TypeError(
        f"random: the key is {described(key)}, expected a uint64 or int32 tensor of shape (2,) from random.key(seed)"
    )
