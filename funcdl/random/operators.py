"""Registration of a generator's functions as operators of torch.

As an operator, a draw is one node of a compiled graph (tracing the hundred integer operations of a Threefry draw would
add ten seconds to a cold compilation), and `vmap` passes a whole batch of keys `(*batch, 2)` to one call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from funcdl import _torch

Split = Callable[[Tensor, int], Tensor]
FoldIn = Callable[[Tensor, Tensor], Tensor]
Bits = Callable[[Tensor, Sequence[int]], Tensor]

# `Library` instead of `custom_op`, which registers the same and takes 6 us longer per call.
_library = torch.library.Library("funcdl", "FRAGMENT")


def register(generator: str, split: Split, fold_in: FoldIn, bits: Bits) -> tuple[Split, FoldIn, Bits]:
    """Registers the functions of a generator as operators; they take keys (*batch, 2).

    Args:
        generator: the prefix of the operators' names.
        split: `(keys, num)` -> keys (*batch, num, 2).
        fold_in: `(keys, data)`, with an int64 for each key, -> keys (*batch, 2).
        bits: `(keys, shape)` -> int32 words (*batch, *shape) in a new tensor.

    Returns:
        The three operators.
    """

    def define(function: Callable[..., Tensor], arguments: str, fake: Callable[..., Tensor], vmapped: Any) -> Any:
        name = f"{generator}_{arguments.split('(')[0]}"
        _library.define(f"{generator}_{arguments} -> Tensor", tags=(torch.Tag.pt2_compliant_tag,))
        torch.library.impl(_library, name, "CompositeExplicitAutograd")(function)
        torch.library.register_fake(f"funcdl::{name}", fake, lib=_library)
        torch.library.register_vmap(f"funcdl::{name}", vmapped, lib=_library)
        return _torch.own_operator(name)

    def split_fake(key: Tensor, num: int) -> Tensor:
        return key.new_empty((*key.shape[:-1], num, 2))

    def split_vmap(info: Any, in_dims: Any, key: Tensor, num: int) -> tuple[Tensor, int]:
        return split_operator(key.movedim(in_dims[0], 0), num), 0

    def fold_in_fake(key: Tensor, data: Tensor) -> Tensor:
        return key.new_empty(key.shape)

    def fold_in_vmap(info: Any, in_dims: Any, key: Tensor, data: Tensor) -> tuple[Tensor, int]:
        n = info.batch_size
        key = key.expand(n, *key.shape) if in_dims[0] is None else key.movedim(in_dims[0], 0)
        data = data.expand(n, *data.shape) if in_dims[1] is None else data.movedim(in_dims[1], 0)
        return fold_in_operator(key, data), 0

    def bits_fake(key: Tensor, shape: Sequence[int]) -> Tensor:
        return key.new_empty((*key.shape[:-1], *shape), dtype=torch.int32)

    def bits_vmap(info: Any, in_dims: Any, key: Tensor, shape: Sequence[int]) -> tuple[Tensor, int]:
        return bits_operator(key.movedim(in_dims[0], 0), shape), 0

    split_operator = define(split, "split(Tensor key, SymInt num)", split_fake, split_vmap)
    fold_in_operator = define(fold_in, "fold_in(Tensor key, Tensor data)", fold_in_fake, fold_in_vmap)
    bits_operator = define(bits, "bits(Tensor key, SymInt[] shape)", bits_fake, bits_vmap)
    return split_operator, fold_in_operator, bits_operator
