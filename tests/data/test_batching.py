import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from funcdl import random
from funcdl.data import (
    batch_indices,
    epoch_indices,
    length,
    padded_batches,
    padded_indices,
    shuffled_batches,
    steps_per_epoch,
    take,
)

sizes = st.integers(1, 70)
few = settings(max_examples=40, deadline=None)


@few
@given(n=sizes, batch_size=sizes, seed=st.integers(0, 2**31 - 1))
def test_an_epoch_covers_every_row_once_and_drops_only_the_last_rows(n, batch_size, seed):
    key = random.key(seed)
    kept = epoch_indices(key, n, batch_size, drop_last=False)
    assert torch.cat(kept).sort().values.tolist() == list(range(n))
    assert [len(rows) for rows in kept[:-1]] == [batch_size] * (len(kept) - 1)
    assert len(kept) == steps_per_epoch(n, batch_size, drop_last=False)
    if batch_size <= n:
        full = batch_indices(key, n, batch_size)
        assert full.shape == (n // batch_size, batch_size) == (steps_per_epoch(n, batch_size), batch_size)
        dropped = epoch_indices(key, n, batch_size)
        assert torch.equal(torch.stack(dropped), full)
        assert torch.equal(torch.cat(kept)[: full.numel()], full.reshape(-1))


@few
@given(n=sizes, batch_size=sizes)
def test_padded_batches_have_every_row_once_at_weight_one(n, batch_size):
    inputs, targets = torch.arange(n) + 0.5, {"y": torch.arange(n)}
    seen = []
    for x, y, weights in padded_batches((inputs, targets), batch_size):
        assert x.shape == y["y"].shape == weights.shape == (batch_size,)
        assert torch.equal(x, y["y"] + 0.5)
        assert set(weights.tolist()) <= {0.0, 1.0}
        seen += y["y"][weights == 1].tolist()
    assert seen == list(range(n))


def test_batches_are_decided_by_the_key_alone():
    data = (torch.arange(100).reshape(50, 2), torch.arange(50))
    epochs = [list(shuffled_batches(random.key(seed), data, 8)) for seed in (0, 0, 1)]
    flat = [torch.cat([targets for _, targets in epoch]) for epoch in epochs]
    assert torch.equal(flat[0], flat[1])
    assert not torch.equal(flat[0], flat[2])
    assert len(epochs[0]) == 6
    assert flat[0].unique().numel() == 48
    for inputs, targets in epochs[0]:
        assert inputs.shape == (8, 2)
        assert torch.equal(inputs[:, 0], 2 * targets)


def test_epochs_leave_out_different_rows():
    key = random.key(3)
    left_out = set()
    for epoch in range(12):
        left_out |= set(range(9)) - set(batch_indices(random.fold_in(key, epoch), 9, 8).flatten().tolist())
    assert len(left_out) > 3


def test_orders_are_uniform():
    """Over 600 keys each of 4 rows is in each place about 150 times (standard deviation 10.6)."""
    keys = random.split(random.key(7), 600)
    orders = torch.stack([batch_indices(key, 4, 4)[0] for key in keys])
    counts = torch.stack([(orders == row).sum(0) for row in range(4)])
    assert (counts - 150).abs().max() < 53


def test_the_trees_containers_are_kept():
    data = {"x": [torch.arange(6), (torch.arange(6) * 10,)], "y": torch.arange(6) * 100}
    batches = list(shuffled_batches(random.key(0), data, 4, drop_last=False))
    assert [len(batch["y"]) for batch in batches] == [4, 2]
    for batch in batches:
        assert torch.equal(batch["x"][1][0], 10 * batch["x"][0])
        assert torch.equal(batch["y"], 100 * batch["x"][0])


def test_batches_are_copies():
    """A donated batch may be written over; the data must survive that."""
    data = (torch.arange(6.0), torch.arange(6))
    for inputs, *_ in [*shuffled_batches(random.key(0), data, 6), *padded_batches(data, 6)]:
        inputs.zero_()
    assert torch.equal(data[0], torch.arange(6.0))


def test_padding_repeats_a_real_row():
    """A row of zeros could give a NaN, and NaN times weight 0 is NaN."""
    *_, (inputs, _, weights) = padded_batches((torch.tensor([1.0, 2.0, 4.0]), torch.zeros(3)), 2)
    assert inputs.tolist() == [4.0, 4.0]
    assert weights.tolist() == [1.0, 0.0]
    assert weights.dtype == torch.float32


def test_padded_batches_may_exceed_the_data():
    indices, weights = padded_indices(2, 5)
    assert indices.tolist() == [[0, 1, 1, 1, 1]]
    assert weights.tolist() == [[1, 1, 0, 0, 0]]


def test_batches_are_on_the_device_of_the_data(device):
    data = (torch.arange(10, device=device), torch.arange(10, device=device))
    for key in (random.key(0), random.key(0, device=device)):
        for batch in shuffled_batches(key, data, 4):
            assert all(leaf.device.type == device.type for leaf in batch)
    for batch in padded_batches(data, 4):
        assert all(leaf.device.type == device.type for leaf in batch)
    assert batch_indices(random.key(0, device=device), 10, 4).device.type == device.type
    assert torch.equal(batch_indices(random.key(0, device=device), 10, 4).cpu(), batch_indices(random.key(0), 10, 4))


def test_members_of_an_ensemble_have_their_own_order():
    keys = random.split(random.key(0), 3)
    together = torch.func.vmap(lambda key: batch_indices(key, 10, 3))(keys)
    assert torch.equal(together, torch.stack([batch_indices(key, 10, 3) for key in keys]))


def test_take_is_traced_in_one_graph():
    data = {"x": torch.arange(12.0).reshape(6, 2), "none": {}}
    rows = torch.tensor([5, 0])
    traced = torch.compile(take, fullgraph=True, backend="eager")(data, rows)
    assert torch.equal(traced["x"], data["x"][rows])
    assert traced["none"] == {}


@pytest.mark.parametrize("batches", [shuffled_batches, lambda key, data, size: padded_batches(data, size)])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((torch.zeros(5), {"y": torch.zeros(4)}), r"data has 5 rows at '0' and 4 at '1.y', expected equally many"),
        ((torch.zeros(5), torch.zeros(())), r"data has a 0-dim tensor at '1', expected rows"),
        (((), {}), r"data without a tensor: pass a tree such as \(inputs, targets\)"),
        ((torch.zeros(0, 2), torch.zeros(0)), r"batches of 0 rows: there must be at least one row"),
    ],
)
def test_wrong_data_is_named_at_the_call(batches, data, message):
    with pytest.raises(ValueError, match=message):
        batches(random.key(0), data, 2)


@pytest.mark.parametrize("batch_size", [0, -3])
def test_batch_sizes_below_one_are_refused(batch_size):
    data = (torch.zeros(4), torch.zeros(4))
    message = rf"batch_size={batch_size}: must be 1 or more"
    for call in (
        lambda: batch_indices(random.key(0), 4, batch_size),
        lambda: epoch_indices(random.key(0), 4, batch_size, drop_last=False),
        lambda: shuffled_batches(random.key(0), data, batch_size),
        lambda: padded_batches(data, batch_size),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_batch_larger_than_the_data_is_refused_unless_drop_last_is_false():
    data = (torch.zeros(4), torch.zeros(4))
    with pytest.raises(ValueError, match=r"batch_size=5 exceeds the 4 rows.*pass batch_size=4 or less, or drop_last="):
        shuffled_batches(random.key(0), data, 5)
    ((inputs, _),) = shuffled_batches(random.key(0), data, 5, drop_last=False)
    assert inputs.shape == (4,)


def test_length_counts_rows():
    assert length({"x": torch.zeros(3, 2), "y": [torch.zeros(3)]}) == 3
