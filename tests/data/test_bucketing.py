import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from funcdl import data, random
from funcdl.data.bucketing import bucket_indices

few = settings(max_examples=40, deadline=None)
some_lengths = st.lists(st.integers(1, 12), min_size=1, max_size=30)


def padded_steps(lengths, widths):
    return sum(min(width for width in widths if width >= length) for length in lengths)


@few
@given(lengths=some_lengths, count=st.integers(1, 5))
def test_bucket_widths_minimize_padding(lengths, count):
    widths = data.choose_bucket_widths(torch.tensor(lengths), count)
    sizes = sorted(set(lengths))
    assert list(widths) == sorted(set(widths))
    assert len(widths) <= count
    assert widths[-1] == sizes[-1]
    choices = itertools.combinations(sizes, min(count, len(sizes)))
    best = min(padded_steps(lengths, choice) for choice in choices if choice[-1] == sizes[-1])
    assert padded_steps(lengths, widths) == best


@few
@given(lengths=some_lengths, batch_size=st.integers(1, 9), seed=st.integers(0, 99), drop_last=st.booleans())
def test_a_bucketed_epoch_has_every_row_once_and_little_padding(lengths, batch_size, seed, drop_last):
    rows, widths = torch.tensor(lengths), data.choose_bucket_widths(torch.tensor(lengths), 3)
    if drop_last and batch_size > len(rows):
        return
    key = random.key(seed)
    batches = data.bucketed_epoch_indices(key, rows, widths, batch_size, drop_last=drop_last)
    plain = data.epoch_indices(key, len(rows), batch_size, drop_last=drop_last)
    assert sorted(map(len, batches)) == sorted(map(len, plain))
    flat = torch.cat(batches)
    assert len(flat.unique()) == len(flat) == len(torch.cat(plain))
    numbers = bucket_indices(rows, widths)
    spread = sum(len(numbers[batch].unique()) - 1 for batch in batches)
    assert spread <= len(widths) - 1  # one mixed batch at most where two widths meet
    again = data.bucketed_epoch_indices(key, rows, widths, batch_size, drop_last=drop_last)
    assert all(torch.equal(a, b) for a, b in zip(batches, again, strict=True))


def test_another_key_gives_other_batches_in_another_order():
    lengths = torch.arange(60) % 10 + 1
    epochs = [data.bucketed_epoch_indices(random.key(seed), lengths, (4, 7, 10), 5) for seed in (0, 1)]
    assert {tuple(sorted(batch.tolist())) for batch in epochs[0]} != {tuple(sorted(b.tolist())) for b in epochs[1]}
    widths = [[int(lengths[batch].max()) for batch in epoch] for epoch in epochs]
    assert all(order != sorted(order) for order in widths)  # not the short ones first
    assert widths[0] != widths[1]


def test_trimming_keeps_all_time_steps_within_the_lengths():
    sequences = data.pad_sequences([[1, 2, 3], [4], [5, 6]])
    wide = {**sequences, "input": torch.nn.functional.pad(sequences["input"], (0, 5))}
    shorter = data.trim_padding(wide, (2, 3, 8))
    assert torch.equal(shorter["input"], sequences["input"])
    assert shorter["input"].is_contiguous()
    assert wide["input"].shape == (3, 8)
    assert data.trim_padding(data.take(wide, torch.tensor([1, 2])), (2, 3, 8))["input"].shape == (2, 2)
    with pytest.raises(ValueError, match=r"at most 2 steps, the last width, got 3"):
        data.trim_padding(wide, (1, 2))


@few
@given(lengths=some_lengths, batch_size=st.integers(1, 9))
def test_bucketed_evaluation_has_every_row_once_at_weight_one(lengths, batch_size):
    sequences = data.pad_sequences([[number + 1] * length for number, length in enumerate(lengths)])
    widths = data.choose_bucket_widths(sequences["lengths"], 3)
    seen = []
    for inputs, targets, weights in data.bucketed_stacked_batches(
        (sequences, torch.arange(len(lengths))), batch_size, widths
    ):
        assert inputs["input"].shape[1] == batch_size
        assert inputs["input"].shape[2] in widths
        assert torch.equal((inputs["input"] != 0).sum(-1), inputs["lengths"])
        assert torch.equal(inputs["input"][..., 0], targets + 1)
        seen += targets[weights == 1].tolist()
    assert sorted(seen) == list(range(len(lengths)))


@pytest.mark.parametrize(("sequences", "message"), [([], "at least one sequence"), ([[1], []], "none in sequence 1")])
def test_padding_needs_sequences_that_are_not_empty(sequences, message):
    with pytest.raises(ValueError, match=message):
        data.pad_sequences(sequences)


@pytest.mark.parametrize(("lengths", "count"), [([], 1), ([3], 0)])
def test_bucket_widths_need_a_count_and_lengths(lengths, count):
    with pytest.raises(ValueError, match="choose_bucket_widths"):
        data.choose_bucket_widths(torch.tensor(lengths, dtype=torch.int64), count)
