"""Batches of data in memory, shuffled by a key: pure functions without worker processes.

Data are any tree of tensors with equal first dimensions, usually `(inputs, targets)`. An epoch is a tensor of row
indices with one row per batch, for a loop over the batches or a compiled scan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from funcdl import random, tree
from funcdl.context import values_are_known
from funcdl.tree import Tree


def shuffled_batches(key: Tensor, data: Tree, batch_size: int, *, drop_last: bool = True) -> Iterator[Tree]:
    """Yields the batches of one epoch of training: every row at most once, in an order that depends on `key`.

    Args:
        key: the key of this epoch, such as `random.fold_in(key, epoch)`.
        data: a tree of tensors with the same number n of rows (first dimension).
        batch_size: rows in a batch, 1 to n.
        drop_last: whether to drop the n mod batch_size rows that do not fill a batch. With False they are a last,
            shorter batch, for which a compiled step compiles a second graph; batch_size may then exceed n.

    Returns:
        An iterator of trees like `data` with `batch_size` rows, copied from `data`.

    Raises:
        ValueError: `data` has no rows or columns of unequal length, or `batch_size` is out of range.

    >>> data = {"x": torch.arange(10), "y": torch.arange(10) * 2}
    >>> [batch["y"].shape[0] for batch in shuffled_batches(random.key(0), data, 4, drop_last=False)]
    [4, 4, 2]
    >>> all(torch.equal(2 * batch["x"], batch["y"]) for batch in shuffled_batches(random.key(0), data, 4))
    True
    """
    rows = epoch_indices(key, length(data), batch_size, drop_last=drop_last)
    return (take(data, indices) for indices in rows)


def padded_batches(data: tuple[Tree, ...], batch_size: int) -> Iterator[tuple[Tree, ...]]:
    """Yields `(inputs, targets, weights)` batches for evaluation: every row once, in order, all of the same shape.

    The last batch is padded with copies of the last row at weight 0. Sums weighted by `weights` therefore include each
    row of `data` exactly once, and a compiled function gets only one shape. (Rows of zeros could give NaN outputs,
    which weight 0 does not remove.)

    Args:
        data: `(inputs, targets)`, trees of tensors with the same number of rows.
        batch_size: rows in a batch, 1 or more; it may exceed the number of rows.

    Returns:
        An iterator of `(inputs, targets, weights)`; `weights` is float32 (batch_size,), 1 or 0.

    Raises:
        ValueError: `data` has no rows or columns of unequal length, or `batch_size` is below 1.

    >>> inputs, targets = torch.zeros(5, 3), torch.arange(5)
    >>> for inputs, targets, weights in padded_batches((inputs, targets), 3):
    ...     print(inputs.shape, targets, weights)
    torch.Size([3, 3]) tensor([0, 1, 2]) tensor([1., 1., 1.])
    torch.Size([3, 3]) tensor([3, 4, 4]) tensor([1., 1., 0.])
    """
    indices, weights = padded_indices(length(data), batch_size, device=tree.leaves(data)[0].device)
    return ((*take(data, rows), row_weights) for rows, row_weights in zip(indices, weights, strict=True))


def stacked_batches(data: tuple[Tree, ...], batch_size: int) -> tuple[Tree, ...]:
    """Returns all of `padded_batches` at once, stacked along a new first dimension, for a scan over them.

    >>> inputs, targets, weights = stacked_batches((torch.zeros(5, 3), torch.arange(5)), 2)
    >>> inputs.shape, targets.shape, weights
    (torch.Size([3, 2, 3]), torch.Size([3, 2]), tensor([[1., 1.], [1., 1.], [1., 0.]]))
    """
    indices, weights = padded_indices(length(data), batch_size, device=tree.leaves(data)[0].device)
    stacked = tree.map(lambda leaf: leaf.unflatten(0, indices.shape), take(data, indices.flatten()))
    return (*stacked, weights)


def batch_indices(key: Tensor, n: int, batch_size: int) -> Int[Tensor, "steps batch_size"]:
    """Returns the row indices of one epoch's full batches, for `take` inside a scan over the first dimension.

    They are the first steps * batch_size entries of `random.permutation(key, n)`, with steps = floor(n / batch_size).
    With `vmap` over keys each member of an ensemble has its own order.

    Args:
        key: the key of this epoch.
        n: rows of data.
        batch_size: rows in a batch, 1 to n.

    Returns:
        int64 row indices in [0, n), each at most once, on the key's device.

    Raises:
        ValueError: `batch_size` is not in [1, n].

    >>> indices = batch_indices(random.key(0), 10, 3)
    >>> indices.shape, indices.unique().numel()
    (torch.Size([3, 3]), 9)
    """
    steps = steps_per_epoch(n, batch_size)
    return random.permutation(key, n)[: steps * batch_size].reshape(steps, batch_size)


def epoch_indices(key: Tensor, n: int, batch_size: int, *, drop_last: bool = True) -> tuple[Tensor, ...]:
    """Returns the row indices of one epoch as a tuple of batches, with a shorter last batch if `drop_last` is False.

    Args:
        key: the key of this epoch.
        n: rows of data.
        batch_size: rows in a batch, 1 to n (any number above 0 with `drop_last=False`).
        drop_last: whether to drop the n mod batch_size rows that do not fill a batch.

    Raises:
        ValueError: `batch_size` is out of range, or n is below 1.

    >>> [len(indices) for indices in epoch_indices(random.key(0), 10, 4, drop_last=False)]
    [4, 4, 2]
    """
    steps = steps_per_epoch(n, batch_size, drop_last=drop_last)
    return random.permutation(key, n)[: steps * batch_size].split(batch_size)


def padded_indices(
    n: int, batch_size: int, *, device: torch.device | str | None = None
) -> tuple[Int[Tensor, "steps batch_size"], Float[Tensor, "steps batch_size"]]:
    """Returns row indices and weights of evaluation batches, as `padded_batches` uses them, for a scan.

    >>> padded_indices(5, 3)
    (tensor([[0, 1, 2], [3, 4, 4]]), tensor([[1., 1., 1.], [1., 1., 0.]]))
    """
    steps = steps_per_epoch(n, batch_size, drop_last=False)
    rows = torch.arange(steps * batch_size, device=device).reshape(steps, batch_size)
    return rows.clamp(max=n - 1), (rows < n).to(torch.float32)


def steps_per_epoch(n: int, batch_size: int, *, drop_last: bool = True) -> int:
    """Returns the number of batches in one epoch: floor(n / batch_size), or the ceiling with `drop_last=False`.

    Raises:
        ValueError: n or `batch_size` is below 1, or `batch_size` exceeds n with `drop_last`.

    >>> steps_per_epoch(10, 4), steps_per_epoch(10, 4, drop_last=False)
    (2, 3)
    """
    if n < 1:
        raise ValueError(f"batches of {n} rows: there must be at least one row of data")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: must be 1 or more")
    if drop_last and batch_size > n:
        raise ValueError(
            f"batch_size={batch_size} exceeds the {n} rows of data, so not one batch can be filled; "
            f"pass batch_size={n} or less, or drop_last=False"
        )
    return n // batch_size if drop_last else -(-n // batch_size)


def take(data: Tree, indices: Sequence[int] | Int[Tensor, " batch"]) -> Tree:
    """Returns the rows `indices` of every tensor in `data`, as new tensors on the devices of `data`.

    Args:
        data: a tree of tensors with rows along the first dimension.
        indices: row indices from 0 on; a tensor or a list.

    Raises:
        IndexError: an index is negative or too large. In a compiled or vmapped function torch raises a RuntimeError.

    >>> take({"x": torch.tensor([10, 11, 12])}, torch.tensor([2, 0]))
    {'x': tensor([12, 10])}
    """
    if not isinstance(indices, Tensor):
        indices = torch.tensor(indices, dtype=torch.int64)
    known = values_are_known(indices)

    def rows(leaf: Tensor) -> Tensor:
        if not known:  # compiled, -1 would be the last row
            return leaf.index_select(0, torch.where(indices < 0, len(leaf), indices).to(leaf.device))
        try:
            return leaf.index_select(0, indices.to(leaf.device))
        except IndexError:
            if indices.numel() == 0 or leaf.ndim == 0 or 0 <= indices.min() <= indices.max() < len(leaf):
                raise
            found = f"{indices.min()} to {indices.max()}"
            raise IndexError(f"take: expected row indices from 0 to {len(leaf) - 1}, got {found}") from None

    return tree.map(rows, data)


def length(data: Tree) -> int:
    """Returns the number of rows of `data`: the size of the first dimension that all its tensors share.

    Raises:
        ValueError: there is no tensor, a tensor has no dimensions, or the numbers of rows differ.

    >>> length((torch.zeros(5, 3), torch.zeros(5)))
    5
    """
    leaves = tree.leaves_with_paths(data)
    if not leaves:
        raise ValueError("data without a tensor: pass a tree such as (inputs, targets)")
    for path, leaf in leaves:
        if leaf.dim() == 0:
            raise ValueError(f"data has a 0-dim tensor at '{path}', expected rows along the first dimension")
    first_path, first = leaves[0]
    for path, leaf in leaves:
        if len(leaf) != len(first):
            raise ValueError(
                f"data has {len(first)} rows at '{first_path}' and {len(leaf)} at '{path}', expected equally many"
            )
    return len(first)
