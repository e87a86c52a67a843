"""Philox4x32-10, the default generator: a uint64 key `(seed, offset)` defines a stream of blocks of four 32-bit words.

Block `n` of the stream is the Philox4x32-10 cipher (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
1, 2, 3", SC 2011) of the counter `(low, high, 0, 0)`, where `offset + n mod 2^64 = high 2^32 + low`, with the cipher
key `(seed mod 2^32, seed >> 32)`. `bits` reads consecutive blocks. Row `i` of `split(key)`, which is also
`fold_in(key, i)`, is block `i` read as (seed low, seed high, offset low, offset high).

These are the words of PyTorch's own Philox operators. Those are used if torch has them for the key's device and they
return the expected words; otherwise plain tensor operations compute the same words more slowly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from funcdl import _torch
from funcdl.random.operators import register

DATA = range(-(2**63), 2**64)  # the range of `data` in `fold_in`, modulo 2^64

_MASK = 0xFFFFFFFF
_ROUNDS = 10
_WEYL = (0x9E3779B9, 0xBB67AE85)  # added to the two words of the cipher key in each round
# Both multipliers M are above 2^31. M times a 32-bit word would overflow int64, but M - 2^32 times it does not.
_MULTIPLIERS = (0xD2511F53 - 2**32, 0xCD9E8D57 - 2**32)
_CHUNK = 2**14  # blocks enciphered at a time on the CPU, so that the intermediate words stay in its cache


def from_seed(seed: int, device: torch.device | str | None) -> Tensor:
    """Returns the key `(seed mod 2^64, 0)`."""
    return torch.tensor([seed % 2**64, 0], dtype=torch.uint64, device=device)


def pairs(key: Tensor, shape: Sequence[int]) -> Tensor:
    """Returns 64-bit words as pairs of 32-bit words, int32 (*shape, 2)."""
    return bits(key, (*shape, 2))


def _split(key: Tensor, num: int) -> Tensor:
    return words(key, 4 * num).view(torch.uint64).view(*key.shape[:-1], num, 2)


def _fold_in(key: Tensor, data: Tensor) -> Tensor:
    # Block `data` of a stream is block 0 of the stream that starts `data` blocks later (int64 addition wraps around).
    seed, offset = key.view(torch.int64).unbind(-1)
    later = torch.stack([seed, offset + data], dim=-1).view(torch.uint64)
    return words(later, 4).view(torch.uint64)


def _bits(key: Tensor, shape: Sequence[int]) -> Tensor:
    return words(key, math.prod(shape)).view((*key.shape[:-1], *shape))


split, fold_in, bits = register("philox", _split, _fold_in, _bits)


def words(key: Tensor, count: int) -> Tensor:
    """Returns the first `count` words of each stream: int32 (*batch, count) for keys (*batch, 2)."""
    return native_words(key, count) if has_native(key.device.type) else plain_words(key, count)


@cache
def has_native(device_type: str) -> bool:
    """Whether torch's private Philox operator exists for this type of device and returns the expected words."""
    key = torch.tensor([[0x299F31D0A4093822, 2**64 - 1], [1, 2]], dtype=torch.uint64, device=device_type)
    if _torch.philox_randint_ is None:
        return False
    try:
        return torch.equal(native_words(key, 9), plain_words(key, 9))
    except (RuntimeError, TypeError):  # not supported on this device, or with other arguments
        return False


def native_words(key: Tensor, count: int) -> Tensor:
    """Returns the words by torch's operator, like `torch.func._random.bits` of torch 2.15."""
    result = torch.empty((*key.shape[:-1], count), dtype=torch.int32, device=key.device)
    return _torch.philox_randint_(result, key.unsqueeze(-2), -(2**31), None)


def plain_words(key: Tensor, count: int) -> Tensor:
    """Returns the same words by plain int64 tensor operations."""
    seed, offset = key.view(torch.int64)[..., None].unbind(-2)
    cipher_key = (seed & _MASK, (seed >> 32) & _MASK)
    counters = offset + torch.arange(-(-count // 4), device=key.device)
    parts = counters.split(_CHUNK, dim=-1) if key.device.type == "cpu" else [counters]
    blocks = []
    for part in parts:
        zero = torch.zeros_like(part)
        blocks.append(torch.stack(cipher((part & _MASK, (part >> 32) & _MASK, zero, zero), cipher_key), dim=-1))
    return torch.cat(blocks, dim=-2).to(torch.int32).flatten(-2)[..., :count].contiguous()


def cipher(counter: Sequence[Tensor], key: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Encrypts counters of four words with keys of two words, which broadcast; a word is an int64 below 2^32.

    With the multipliers M and the key (k0, k1), to which each round adds the Weyl constants, a round maps

        (c0, c1, c2, c3)  to  (high(M1 c2) ^ c1 ^ k0, low(M1 c2), high(M0 c0) ^ c3 ^ k1, low(M0 c0)).
    """
    c0, c1, c2, c3 = counter
    rounds = torch.arange(_ROUNDS, device=key[0].device)
    # In-place operations below overwrite only tensors from the same line; new memory costs more than the arithmetic.
    key0, key1 = ((word[..., None] + weyl * rounds).bitwise_and_(_MASK) for word, weyl in zip(key, _WEYL, strict=True))
    for k0, k1 in zip(key0.unbind(-1), key1.unbind(-1), strict=True):
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        high0, high1 = (product0 >> 32).add_(c0), (product1 >> 32).add_(c2)
        c0, c2 = high1.bitwise_xor_(c1).bitwise_xor_(k0), high0.bitwise_xor_(c3).bitwise_xor_(k1)
        c1, c3 = product1.bitwise_and_(_MASK), product0.bitwise_and_(_MASK)
    return c0, c1, c2, c3
