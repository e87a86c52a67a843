"""Threefry2x32-20: the generator of `jax.random`, bit for bit. An int32 key holds JAX's two uint32 words.

Block `n` of the stream is the Threefry2x32 cipher of 20 rounds (Salmon, Moraes, Dror, Shaw, "Parallel random numbers:
as easy as 1, 2, 3", SC 2011) of the counter `(n >> 32, n mod 2^32)`. A 32-bit word is the exclusive or of the two words
of a block. A 64-bit word has the first word of a block as its upper half and the second as its lower half. Row `i` of
`split(key)`, which is also `fold_in(key, i)`, is block `i` itself. This equals JAX with `jax_threefry_partitionable`,
its default.

A block takes about 110 integer operations, each of which is a pass over memory: a million words take about six times as
long as with PyTorch's Philox operator.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from funcdl.random.operators import register

DATA = range(2**32)  # the range of `data` in `fold_in`

_MASK = 0xFFFFFFFF
_PARITY = 0x1BD11BDA
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_FEW = 8  # up to this number, single blocks in Python integers are faster
_CHUNK = 2**15  # blocks enciphered at a time on the CPU, so that the intermediate words stay in its cache


def from_seed(seed: int, device: torch.device | str | None) -> Tensor:
    """Returns the key `(seed >> 32, seed mod 2^32)`."""
    return torch.tensor([seed >> 32, seed & _MASK], dtype=torch.uint32, device=device).view(torch.int32)


def pairs(key: Tensor, shape: Sequence[int]) -> Tensor:
    """Returns 64-bit words as pairs of 32-bit words, int32 (*shape, 2)."""
    return split(key, math.prod(shape)).view((*shape, 2))


def _split(key: Tensor, num: int) -> Tensor:
    if num <= _FEW and key.shape == (2,) and key.device.type == "cpu":
        return _few_keys(key, range(num))
    return torch.cat([torch.stack(blocks(key, part), dim=-1) for part in _counters(key, num)], dim=-2)


def _fold_in(key: Tensor, data: Tensor) -> Tensor:
    if key.shape == (2,) and key.device.type == "cpu":
        return _few_keys(key, [int(data)])[0]
    return torch.cat(blocks(key, (data & _MASK).unsqueeze(-1)), dim=-1)


def _few_keys(key: Tensor, counters: Iterable[int]) -> Tensor:
    key0, key1 = (word & _MASK for word in key.tolist())
    words = [cipher_of_numbers(key0, key1, 0, counter) for counter in counters]
    return torch.tensor(words, dtype=torch.uint32).view(-1, 2).view(torch.int32)


def _bits(key: Tensor, shape: Sequence[int]) -> Tensor:
    parts = [first.bitwise_xor_(second) for first, second in (blocks(key, c) for c in _counters(key, math.prod(shape)))]
    return torch.cat(parts, dim=-1).view((*key.shape[:-1], *shape))


split, fold_in, bits = register("threefry", _split, _fold_in, _bits)


def _counters(key: Tensor, count: int) -> Sequence[Tensor]:
    counters = torch.arange(count, device=key.device)
    return counters.split(_CHUNK) if key.device.type == "cpu" else [counters]


def blocks(key: Tensor, counters: Tensor) -> tuple[Tensor, Tensor]:
    """Returns both words of blocks, each (*batch, count), for int64 counters (*#batch, count) and keys (*batch, 2)."""
    words = [*key.unsqueeze(-1).unbind(-2), (counters >> 32).to(torch.int32), counters.to(torch.int32)]
    if key.device.type != "cpu":
        return cipher(*words)
    # NumPy has less overhead per call than torch, which makes a few blocks four times as fast.
    first, second = cipher(*(word.numpy().view(np.uint32) for word in words))
    return torch.from_numpy(first.view(np.int32)), torch.from_numpy(second.view(np.int32))


def cipher(key0: Any, key1: Any, counter0: Any, counter1: Any) -> tuple[Any, Any]:
    """Encrypts counters of two words with keys of two words: NumPy arrays of uint32, or int32 tensors; they broadcast.

    With the third key word k2 = k0 ^ k1 ^ 0x1BD11BDA, a round maps (x0, x1) to (x0 + x1, rotate(x1, r) ^ (x0 + x1)),
    and after every fourth round, number g of those, k[g mod 3] is added to x0 and k[(g + 1) mod 3] + g to x1.
    """
    keys = (key0, key1, key0 ^ key1 ^ _PARITY)
    signed = isinstance(key0, Tensor)
    x0, x1 = counter0 + key0, counter1 + key1
    for group in range(1, 6):
        for rotation in _ROTATIONS[(group - 1) % 2]:
            x0 += x1
            low = x1 >> (32 - rotation)
            if signed:  # clears the copies of the sign bit
                low &= (1 << rotation) - 1
            x1 <<= rotation
            x1 |= low
            x1 ^= x0
        x0 += keys[group % 3]
        x1 += keys[(group + 1) % 3]
        x1 += group
    return x0, x1


def cipher_of_numbers(key0: int, key1: int, counter0: int, counter1: int) -> tuple[int, int]:
    """Encrypts one counter, in Python integers."""
    keys = (key0, key1, key0 ^ key1 ^ _PARITY)
    x0, x1 = counter0 + key0, (counter1 + key1) & _MASK
    for group in range(1, 6):
        for rotation in _ROTATIONS[(group - 1) % 2]:
            x0 = (x0 + x1) & _MASK
            x1 = (x1 << rotation & _MASK | x1 >> (32 - rotation)) ^ x0
        x0 += keys[group % 3]
        x1 = (x1 + keys[(group + 1) % 3] + group) & _MASK
    return x0 & _MASK, x1
