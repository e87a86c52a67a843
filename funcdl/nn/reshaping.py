"""Layers that reshape or rearrange their input, or return it unchanged."""

from __future__ import annotations

import math
from collections.abc import Sequence

import einops
import torch
from torch import Tensor

from funcdl.nn.layer import Layer, stateless


def identity() -> Layer:
    """Returns its input unchanged. Equals `torch.nn.Identity`.

    >>> identity()({}, torch.ones(2))
    tensor([1., 1.])
    """
    return stateless(lambda x: x)


def flatten(start_dim: int = 1, end_dim: int = -1) -> Layer:
    """Flattens the dimensions from `start_dim` to `end_dim` into one; all but the batch by default.

    Equals `torch.nn.Flatten`.

    >>> flatten()({}, torch.zeros(5, 16, 3, 3)).shape
    torch.Size([5, 144])
    """
    return stateless(lambda x: torch.flatten(x, start_dim, end_dim))


def unflatten(dim: int, unflattened_size: Sequence[int]) -> Layer:
    """Splits dimension `dim` into several: the inverse of `flatten`.

    Args:
        dim: the dimension; negative counts from the end.
        unflattened_size: the sizes it is split into, whose product is its size. One may be -1, to be inferred.

    Raises:
        ValueError: more than one -1, or a smaller size; by `apply`, no such dimension, or sizes with another product.

    Equals `torch.nn.Unflatten`, without its named tensors.

    >>> unflatten(1, (16, -1, 3))({}, torch.zeros(5, 144)).shape
    torch.Size([5, 16, 3, 3])
    """
    sizes = tuple(unflattened_size)
    name = f"unflatten({dim}, {sizes})"
    if not sizes or min(sizes) < -1 or sizes.count(-1) > 1:
        raise ValueError(f"{name}: expected sizes of at least 0, of which one may be -1")
    known = math.prod(size for size in sizes if size >= 0)

    def f(x: Tensor) -> Tensor:
        if not -x.ndim <= dim < x.ndim:
            raise ValueError(f"{name}: expected an input with a dimension {dim}, got shape {tuple(x.shape)}")
        size = x.shape[dim]
        if (known == 0 or size % known) if -1 in sizes else size != known:
            raise ValueError(f"{name}: expected sizes that make up the {size} of dimension {dim} of {tuple(x.shape)}")
        return x.unflatten(dim, sizes)

    return stateless(f)


def rearrange(pattern: str, **sizes: int) -> Layer:
    """Permutes, splits and merges dimensions by an einops pattern: `einops.rearrange(x, pattern, **sizes)`.

    Args:
        pattern: the names of the dimensions before and after, as in "batch (head width) time -> batch head time width".
        **sizes: the sizes of named dimensions, for all but one in each pair of parentheses.

    Raises:
        einops.EinopsError: raised by `apply` if the shape does not fit the pattern.

    Equals `einops.layers.torch.Rearrange`.

    >>> rearrange("b c (h p) (w q) -> b (h w) (c p q)", p=4, q=4)({}, torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 4, 48])
    """
    return stateless(lambda x: einops.rearrange(x, pattern, **sizes))
