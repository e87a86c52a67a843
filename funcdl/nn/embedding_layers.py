"""Embeddings: learned vectors, looked up in a table by index."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from funcdl.context import (
    differentiated_once,
    first_order_only,
    functorch_is_active,
    in_graph,
    is_recorded,
    vmap_is_active,
)
from funcdl.nn.initializers import Initializer, normal
from funcdl.nn.layer import Layer, Params, parametric
from funcdl.nn.named_inputs import named_inputs
from funcdl.nn.validation import check_sizes, entry, is_whole
from funcdl.tree import Tree


def embedding(
    num_embeddings: int,
    embedding_dim: int,
    padding_idx: int | None = None,
    *,
    weight_init: Initializer | None = None,
) -> Layer:
    """Looks up rows of a table: `y[..., :] = weight[x[...]]`.

    Args:
        num_embeddings: the number of rows.
        embedding_dim: the size of a row.
        padding_idx: an index whose row starts at zero and gets no gradient; negative ones count from the end.
        weight_init: draws the table, of shape (num_embeddings, embedding_dim); N(0, 1) by default. It is
            asked for `torch.get_default_dtype()`, because the inputs are integers.

    Input (...) of int32 or int64 indices in [0, num_embeddings), output (..., embedding_dim).

    Raises:
        ValueError: a size is negative, or `padding_idx` is not an index of a row.
        TypeError: raised by `apply` if the indices are not int32 or int64.
        IndexError: raised by `apply` if an index is out of range (on the CPU; on a GPU torch aborts the process).
            Inside `jit` and `vmap` no error can be raised: there the row and the gradient are NaN.

    Equals `torch.nn.Embedding` without its `max_norm`, which modifies the table during the lookup, its
    `scale_grad_by_freq`, and its `sparse` gradients, which `torch.func` does not support.

    >>> from funcdl import random
    >>> layer = embedding(10, 3, padding_idx=0)
    >>> params, buffers = layer.init(random.key(0), torch.empty(2, 4, dtype=torch.int64, device="meta"))
    >>> layer(params, torch.tensor([[1, 2, 0, 0]])).shape
    torch.Size([1, 4, 3])
    """
    name = f"embedding({num_embeddings}, {embedding_dim})"
    check_sizes(name, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
    padding = _padding_row(name, padding_idx, num_embeddings)

    def init(key: Tensor, x: Int[Tensor, " ..."]) -> Params:
        check_indices(name, x)
        dtype = torch.get_default_dtype()
        return {"weight": _table(key, num_embeddings, embedding_dim, padding, weight_init, dtype)}

    def f(params: Params, x: Int[Tensor, " ..."]) -> Float[Tensor, "... embedding_dim"]:
        check_indices(name, x)
        return _lookup(x, entry(name, params, "weight"), padding)

    return parametric(init, f)


def embedding_bag(
    num_embeddings: int,
    embedding_dim: int,
    *,
    mode: Literal["sum", "mean", "max"] = "mean",
    include_last_offset: bool = False,
    padding_idx: int | None = None,
    weight_init: Initializer | None = None,
) -> Layer:
    """Looks up bags of rows of a table and reduces each bag to its sum, mean or maximum.

    Args:
        num_embeddings: the number of rows.
        embedding_dim: the size of a row.
        mode: how a bag is reduced. An empty bag is reduced to zeros.
        include_last_offset: whether `offsets` ends with one more entry, the number of indices.
        padding_idx: an index that is left out of bags, whose row starts at zero; negative ones count from
            the end.
        weight_init: draws the table, of shape (num_embeddings, embedding_dim); N(0, 1) by default.

    Inputs, as a tensor, a tuple or a dict: `input`, the indices, (bags, indices) or, with `offsets`, concatenated
    (indices,); `offsets` (bags,), where each bag starts, in ascending order from 0; `per_sample_weights`, of the shape
    of `input`, factors of the rows, with `mode="sum"` only. Output (bags, embedding_dim).

    Raises:
        ValueError: `mode` or `padding_idx` is impossible; by `apply`, inconsistent shapes, or `per_sample_weights` with
            another mode than "sum".
        TypeError: raised by `apply` if the indices are not int32 or int64.
        RuntimeError: raised by `apply` if an index is out of range; for `vmap` as in `embedding`.

    Equals `torch.nn.EmbeddingBag` without its `max_norm`, `scale_grad_by_freq` and `sparse`. Its kernel has no
    derivative by `torch.autograd` inside `grad`; `grad` of `grad` works.

    >>> layer = embedding_bag(3, 1, mode="sum")
    >>> params = {"weight": torch.tensor([[1.0], [10.0], [100.0]])}
    >>> layer(params, {"input": torch.tensor([0, 1, 1, 2]), "offsets": torch.tensor([0, 1])})
    tensor([[  1.],
            [120.]])
    """
    name = f"embedding_bag({num_embeddings}, {embedding_dim})"
    check_sizes(name, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
    padding = _padding_row(name, padding_idx, num_embeddings)
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"{name}: expected mode sum, mean or max, got {mode!r}")

    def init(key: Tensor, x: Tree) -> Params:
        factors = read(x)[2]
        dtype = torch.get_default_dtype() if factors is None else factors.dtype
        return {"weight": _table(key, num_embeddings, embedding_dim, padding, weight_init, dtype)}

    def f(params: Params, x: Tree) -> Float[Tensor, "bags embedding_dim"]:
        indices, offsets, factors = read(x)
        if offsets is not None and include_last_offset:
            offsets = offsets[:-1]

        weight = entry(name, params, "weight")
        if factors is None and indices.numel() and _supports_kernel(weight):
            offsets = offsets if offsets is None else offsets.to(indices.dtype)
            return F.embedding_bag(indices, weight, offsets, mode=mode, padding_idx=padding)
        rows = _lookup(indices, weight, padding)
        included = torch.ones_like(indices, dtype=torch.bool) if padding is None else indices != padding
        if factors is not None:
            rows = rows * factors.unsqueeze(-1)
        if offsets is None:
            return _reduce_rows(rows, included, mode)
        # The bag of each index: the number of bags that start at or before it, minus one.
        starts = offsets.new_zeros(indices.shape[0] + 1).index_add(0, offsets, torch.ones_like(offsets))
        bag = starts.cumsum(0)[:-1] - 1
        return _reduce_segments(rows, included, bag, offsets.shape[0], mode)

    def read(x: Tree) -> tuple[Tensor, Tensor | None, Tensor | None]:
        inputs = named_inputs(name, x, ("input", "offsets", "per_sample_weights"))
        indices: Tensor = inputs["input"]
        offsets: Tensor | None = inputs.get("offsets")
        factors: Tensor | None = inputs.get("per_sample_weights")
        check_indices(name, indices)
        if indices.ndim != (2 if offsets is None else 1):
            raise ValueError(
                f"{name}: expected input (bags, indices), or (indices,) with offsets, got shape "
                f"{tuple(indices.shape)} {'without' if offsets is None else 'with'} offsets"
            )
        if factors is not None and mode != "sum":
            raise ValueError(f'{name}: expected mode="sum" with per_sample_weights, got {mode!r}')
        if factors is not None and factors.shape != indices.shape:
            raise ValueError(
                f"{name}: expected per_sample_weights of the shape of input, {tuple(indices.shape)}, got "
                f"{tuple(factors.shape)}"
            )
        return indices, offsets, factors

    return parametric(init, f)


def check_indices(layer: str, x: Tensor) -> None:
    """Raises a TypeError unless `x` holds indices."""
    if x.dtype not in (torch.int32, torch.int64):
        raise TypeError(
            f"{layer}: expected int32 or int64 indices, got {x.dtype}; convert them, as by x.to(torch.int64)"
        )


def _padding_row(name: str, padding_idx: int | None, rows: int) -> int | None:
    if padding_idx is None:
        return None
    if not is_whole(padding_idx) or not -rows <= padding_idx < rows:
        raise ValueError(f"{name}: expected padding_idx from {-rows} to {rows - 1}, got {padding_idx}")
    return padding_idx % rows


def _table(
    key: Tensor, rows: int, size: int, padding: int | None, weight_init: Initializer | None, dtype: torch.dtype
) -> Tensor:
    weight = (weight_init or normal())(key, (rows, size), dtype)
    if padding is None:
        return weight
    return torch.where(torch.arange(rows, device=weight.device)[:, None] == padding, 0, weight)


def _lookup(x: Tensor, weight: Tensor, padding: int | None) -> Tensor:
    """Returns the rows. In a graph and in `vmap`, rows and derivatives of out-of-range indices are NaN."""
    indices, factor = x, None
    if in_graph() or vmap_is_active():  # torch would read the row of another member, or drop the gradient
        inside = (x >= 0) & (x < weight.shape[0])
        trainable = 0 if padding is None else (padding + 1) % weight.shape[0]  # a row that has a gradient
        indices = torch.where(inside, x, trainable)
        factor = torch.where(inside, 1.0, torch.nan).to(weight.dtype).unsqueeze(-1)
    if padding is None or differentiated_once(weight):
        y = F.embedding(indices, weight, padding)
    else:  # torch's forward-mode derivative includes the padding row
        y = F.embedding(indices, weight)
        y = torch.where((x == padding).unsqueeze(-1), y.detach(), y)
    return y if factor is None else y * factor


def _supports_kernel(weight: Tensor) -> bool:
    """Whether torch's kernel for bags can be used: it has only a first derivative, and no other transforms."""
    if weight.is_meta or not first_order_only():
        return False
    below_grad = functorch_is_active()
    if in_graph():  # a graph of Dynamo may be differentiated from outside
        return below_grad and not torch.compiler.is_compiling()
    return not below_grad and not is_recorded(weight)


def _reduce_rows(rows: Tensor, included: Tensor, mode: str) -> Tensor:
    """Reduces (bags, indices, size) to (bags, size)."""
    included = included.unsqueeze(-1)
    if mode == "max":
        if rows.shape[1] == 0:
            return rows.sum(1)
        return torch.where(included.any(1), rows.where(included, -torch.inf).max(1).values, 0)
    total = rows.where(included, 0).sum(1)
    return total / included.sum(1).clamp(min=1) if mode == "mean" else total


def _reduce_segments(rows: Tensor, included: Tensor, bag: Tensor, bags: int, mode: str) -> Tensor:
    """Reduces (indices, size) to (bags, size), where row i belongs to bag `bag[i]`."""
    zeros = rows.new_zeros(bags, rows.shape[-1])
    included = included.unsqueeze(-1)
    counts = zeros.index_add(0, bag, included.to(rows.dtype).expand_as(rows))
    if mode == "max":
        lowest = torch.full_like(zeros, -torch.inf)
        largest = lowest.scatter_reduce(0, bag[:, None].expand_as(rows), rows.where(included, -torch.inf), "amax")
        return torch.where(counts > 0, largest, 0)
    total = zeros.index_add(0, bag, rows.where(included, 0))
    return total / counts.clamp(min=1) if mode == "mean" else total
