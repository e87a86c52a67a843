"""Batches of sequences of unequal length: padded to a few widths, so that few shapes are compiled and little is padded.

Sequences are a dict of two tensors, as recurrent layers take them: `input` (n, time, ...), filled up behind each
sequence's end, and `lengths` (n,). A width is a number of time steps that a batch is cut to.
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


def pad(sequences: Sequence[Sequence[int]], value: int = 0) -> Sequences:
    """Makes tensors of sequences of numbers.

    Args:
        sequences: at least one, each of one number or more.
        value: what to write behind the end of those that are shorter than the longest.

    Returns:
        `input`, int64 (n, longest), and `lengths`, int64 (n,).

    Raises:
        ValueError: there is no sequence, or one is empty.

    >>> pad([[7, 8], [9]])
    {'input': tensor([[7, 8],
            [9, 0]]), 'lengths': tensor([2, 1])}
    """
    lengths = [len(sequence) for sequence in sequences]
    if not all(lengths):
        raise ValueError(f"pad: expected at least one number in each sequence, got none in number {lengths.index(0)}")
    if not lengths:
        raise ValueError("pad: expected at least one sequence, got none")
    longest = max(lengths)
    rows = [[*sequence, *[value] * (longest - len(sequence))] for sequence in sequences]
    return {"input": torch.tensor(rows), "lengths": torch.tensor(lengths)}


def choose_widths(lengths: Int[Tensor, " n"], count: int) -> tuple[int, ...]:
    """Returns at most `count` widths, ascending, with the least padding when each sequence has the first that holds it.

    The last one is the greatest length. Found by dynamic programming over the lengths that occur.

    Args:
        lengths: of the sequences.
        count: 1 or more.

    Raises:
        ValueError: `count` is less than 1, or there are no lengths.

    >>> choose_widths(torch.tensor([2, 2, 2, 3, 9, 10]), 2)
    (3, 10)
    """
    if count < 1 or len(lengths) == 0:
        raise ValueError(f"choose_widths: expected a count of 1 or more and some lengths, got {count}, {len(lengths)}")
    sizes, counts = (part.tolist() for part in lengths.unique(return_counts=True))
    up_to = [0, *itertools.accumulate(counts)]
    # best[i]: the least number of steps, padding included, for the shortest i sizes, and the widths that give it
    best: list[tuple[int, tuple[int, ...]]] = [(0, ())] + [
        (up_to[i + 1] * size, (size,)) for i, size in enumerate(sizes)
    ]
    for _ in range(min(count, len(sizes)) - 1):
        best = [best[0]] + [
            min((best[j][0] + (up_to[i] - up_to[j]) * sizes[i - 1], (*best[j][1], sizes[i - 1])) for j in range(i))
            for i in range(1, len(best))
        ]
    return best[-1][1]


def epoch_indices_by_width(
    key: Tensor, lengths: Int[Tensor, " n"], widths: Sequence[int], batch_size: int, *, drop_last: bool = True
) -> tuple[Tensor, ...]:
    """Returns the row numbers of one epoch batch by batch, where a batch holds sequences of one width if it can.

    The rows are shuffled as by `epoch_indices`, those that fill no batch are left out, and the others are sorted by
    width, which keeps those of one width in random order, and cut; then the batches are shuffled. Where the sequences
    of a width do not fill their last batch, shorter ones are in the first batch of the next width.

    Args:
        key: the key of this epoch.
        lengths: of all sequences, on the key's device.
        widths: ascending; the last one holds the longest sequence.
        batch_size: rows in a batch, 1 to n (any number above 0 with `drop_last=False`).
        drop_last: whether to leave out the n mod batch_size rows that fill no batch.

    Raises:
        ValueError: `batch_size` is out of range, or a sequence is longer than the last width.

    >>> lengths = torch.tensor([9, 2, 3, 8, 2, 9])
    >>> batches = epoch_indices_by_width(random.key(0), lengths, (3, 9), 3)
    >>> sorted(sorted(rows.tolist()) for rows in batches)
    [[0, 3, 5], [1, 2, 4]]
    """
    steps = steps_per_epoch(len(lengths), batch_size, drop_last=drop_last)
    rows_key, batches_key = random.split(key).unbind()
    rows = random.permutation(rows_key, len(lengths))[: steps * batch_size]
    rows = rows[width_numbers(lengths[rows], widths).argsort(stable=True)]
    batches = rows.split(batch_size)
    return tuple(batches[index] for index in random.permutation(batches_key, steps).tolist())


def cut(sequences: Sequences, widths: Sequence[int]) -> Sequences:
    """Returns a batch without the time steps behind the first of `widths` that holds all its sequences.

    Raises:
        ValueError: a sequence is longer than the last width.

    >>> cut({"input": torch.tensor([[1, 2, 0, 0], [3, 0, 0, 0]]), "lengths": torch.tensor([2, 1])}, (3, 4))
    {'input': tensor([[1, 2, 0],
            [3, 0, 0]]), 'lengths': tensor([2, 1])}
    """
    width = widths[int(width_numbers(sequences["lengths"].amax(), widths))]
    return {**sequences, "input": sequences["input"][:, :width].contiguous()}


def stacked_batches_by_width(
    data: tuple[Sequences, Tree], batch_size: int, widths: Sequence[int]
) -> list[tuple[Tree, ...]]:
    """Returns `stacked_batches` of the sequences of each width, for evaluation: every row once.

    Args:
        data: `(sequences, targets)`.
        batch_size: rows in a batch, 1 or more; the last batch of each width is filled up with rows of weight 0.
        widths: ascending; the last one holds the longest sequence. Those that no sequence has are left out.

    Raises:
        ValueError: a sequence is longer than the last width, or `batch_size` is below 1.

    >>> sequences = {"input": torch.zeros(5, 9), "lengths": torch.tensor([2, 9, 1, 3, 2])}
    >>> for inputs, targets, weights in stacked_batches_by_width((sequences, torch.arange(5)), 2, (3, 9)):
    ...     print(inputs["input"].shape, targets.tolist(), weights.tolist())
    torch.Size([2, 2, 3]) [[0, 2], [3, 4]] [[1.0, 1.0], [1.0, 1.0]]
    torch.Size([1, 2, 9]) [[1, 1]] [[1.0, 0.0]]
    """
    numbers = width_numbers(data[0]["lengths"], widths)
    stacks = []
    for number in numbers.unique().tolist():
        sequences, targets = take(data, (numbers == number).nonzero().squeeze(1))
        stacks.append(stacked_batches((cut(sequences, widths), targets), batch_size))
    return stacks


def width_numbers(lengths: Int[Tensor, "*n"], widths: Sequence[int]) -> Int[Tensor, "*n"]:
    """Returns for each length the number of the first width that holds it.

    >>> width_numbers(torch.tensor([1, 3, 4]), (3, 9))
    tensor([0, 0, 1])
    """
    numbers = torch.bucketize(lengths, torch.tensor(widths, device=lengths.device))
    if (numbers == len(widths)).any():
        raise ValueError(f"expected sequences of at most {widths[-1]} steps, the last width, got {int(lengths.max())}")
    return numbers
