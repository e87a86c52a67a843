"""Bucketing: batches of sequences of similar length, padded to a few widths, so that few shapes have to be compiled.

Sequences are a dict of two tensors, which recurrent layers accept: `input` (n, time, ...), padded at the end of each
sequence, and `lengths` (n,). A bucket contains the sequences that are padded to its width, in time steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from funcdl import random
from funcdl.data.batching import stacked_batches, steps_per_epoch, take
from funcdl.tree import Tree

Sequences = dict[str, Tensor]


def pad_sequences(sequences: Sequence[Sequence[int]], value: int = 0) -> Sequences:
    """Pads sequences of numbers to the length of the longest.

    Args:
        sequences: at least one sequence, each with at least one number.
        value: the number to pad with.

    Returns:
        `input`, int64 (n, longest), and `lengths`, int64 (n,).

    Raises:
        ValueError: there is no sequence, or one is empty.

    >>> pad_sequences([[7, 8], [9]])
    {'input': tensor([[7, 8],
            [9, 0]]), 'lengths': tensor([2, 1])}
    """
    lengths = [len(sequence) for sequence in sequences]
    if not all(lengths):
        raise ValueError(
            f"pad_sequences: expected at least one number in each sequence, got none in sequence {lengths.index(0)}"
        )
    if not lengths:
        raise ValueError("pad_sequences: expected at least one sequence, got none")
    longest = max(lengths)
    rows = [[*sequence, *[value] * (longest - len(sequence))] for sequence in sequences]
    return {"input": torch.tensor(rows), "lengths": torch.tensor(lengths)}


def choose_bucket_widths(lengths: Int[Tensor, " n"], count: int) -> tuple[int, ...]:
    """Returns at most `count` bucket widths, ascending, that minimize the padding.

    Each sequence is padded to the first width that fits it; the last width is the largest length. The widths are found
    by dynamic programming over the distinct lengths.

    Args:
        lengths: the lengths of the sequences.
        count: the maximum number of widths, at least 1.

    Raises:
        ValueError: `count` is less than 1, or there are no lengths.

    >>> choose_bucket_widths(torch.tensor([2, 2, 2, 3, 9, 10]), 2)
    (3, 10)
    """
    if count < 1 or len(lengths) == 0:
        raise ValueError(
            f"choose_bucket_widths: expected a count of 1 or more and some lengths, got {count}, {len(lengths)}"
        )
    sizes, counts = (column.tolist() for column in lengths.unique(return_counts=True))
    totals = [0, *itertools.accumulate(counts)]
    # best[i]: the minimum number of steps, including padding, for the i smallest sizes, and the widths that achieve it
    best: list[tuple[int, tuple[int, ...]]] = [(0, ())] + [
        (totals[i + 1] * size, (size,)) for i, size in enumerate(sizes)
    ]
    for _ in range(min(count, len(sizes)) - 1):
        best = [best[0]] + [
            min((best[j][0] + (totals[i] - totals[j]) * sizes[i - 1], (*best[j][1], sizes[i - 1])) for j in range(i))
            for i in range(1, len(best))
        ]
    return best[-1][1]


def bucketed_epoch_indices(
    key: Tensor, lengths: Int[Tensor, " n"], widths: Sequence[int], batch_size: int, *, drop_last: bool = True
) -> tuple[Tensor, ...]:
    """Returns the row indices of one epoch batch by batch, each batch with sequences of one bucket if possible.

    The rows are shuffled as by `epoch_indices`, and those that do not fill a batch are dropped. The others are sorted
    by bucket (in random order within each) and split into batches, and the batches are shuffled. If the sequences of a
    bucket do not fill their last batch, it also gets longer ones from the next bucket.

    Args:
        key: the key of this epoch.
        lengths: the lengths of all sequences, on the key's device.
        widths: the widths of the buckets, ascending; the last one fits the longest sequence.
        batch_size: rows in a batch, 1 to n (any number above 0 with `drop_last=False`).
        drop_last: whether to drop the n mod batch_size rows that do not fill a batch.

    Raises:
        ValueError: `batch_size` is out of range, or a sequence is longer than the last width.

    >>> lengths = torch.tensor([9, 2, 3, 8, 2, 9])
    >>> batches = bucketed_epoch_indices(random.key(0), lengths, (3, 9), 3)
    >>> sorted(sorted(rows.tolist()) for rows in batches)
    [[0, 3, 5], [1, 2, 4]]
    """
    steps = steps_per_epoch(len(lengths), batch_size, drop_last=drop_last)
    rows_key, batches_key = random.split(key).unbind()
    rows = random.permutation(rows_key, len(lengths))[: steps * batch_size]
    rows = rows[bucket_indices(lengths[rows], widths).argsort(stable=True)]
    batches = rows.split(batch_size)
    return tuple(batches[index] for index in random.permutation(batches_key, steps).tolist())


def trim_padding(sequences: Sequences, widths: Sequence[int]) -> Sequences:
    """Returns a batch trimmed to the first of `widths` that fits all its sequences.

    Raises:
        ValueError: a sequence is longer than the last width.

    >>> trim_padding({"input": torch.tensor([[1, 2, 0, 0], [3, 0, 0, 0]]), "lengths": torch.tensor([2, 1])}, (3, 4))
    {'input': tensor([[1, 2, 0],
            [3, 0, 0]]), 'lengths': tensor([2, 1])}
    """
    width = widths[int(bucket_indices(sequences["lengths"].amax(), widths))]
    return {**sequences, "input": sequences["input"][:, :width].contiguous()}


def bucketed_stacked_batches(
    data: tuple[Sequences, Tree], batch_size: int, widths: Sequence[int]
) -> list[tuple[Tree, ...]]:
    """Returns the `stacked_batches` of each bucket, for evaluation: every row once.

    Args:
        data: `(sequences, targets)`.
        batch_size: rows in a batch, 1 or more; the last batch of each bucket is padded with rows of weight 0.
        widths: the widths of the buckets, ascending; the last one fits the longest sequence. Empty buckets are omitted.

    Raises:
        ValueError: a sequence is longer than the last width, or `batch_size` is below 1.

    >>> sequences = {"input": torch.zeros(5, 9), "lengths": torch.tensor([2, 9, 1, 3, 2])}
    >>> for inputs, targets, weights in bucketed_stacked_batches((sequences, torch.arange(5)), 2, (3, 9)):
    ...     print(inputs["input"].shape, targets.tolist(), weights.tolist())
    torch.Size([2, 2, 3]) [[0, 2], [3, 4]] [[1.0, 1.0], [1.0, 1.0]]
    torch.Size([1, 2, 9]) [[1, 1]] [[1.0, 0.0]]
    """
    buckets = bucket_indices(data[0]["lengths"], widths)
    stacks = []
    for bucket in buckets.unique().tolist():
        sequences, targets = take(data, (buckets == bucket).nonzero().squeeze(1))
        stacks.append(stacked_batches((trim_padding(sequences, widths), targets), batch_size))
    return stacks


def bucket_indices(lengths: Int[Tensor, "*n"], widths: Sequence[int]) -> Int[Tensor, "*n"]:
    """Returns the index of the first width that fits each length.

    >>> bucket_indices(torch.tensor([1, 3, 4]), (3, 9))
    tensor([0, 0, 1])
    """
    buckets = torch.bucketize(lengths, torch.tensor(widths, device=lengths.device))
    if (buckets == len(widths)).any():
        raise ValueError(f"expected sequences of at most {widths[-1]} steps, the last width, got {int(lengths.max())}")
    return buckets
