"""What keys of either kind promise: purity, `fold_in` equal to `split`, independence, and errors that help."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from funcdl import random

IMPLS = ["philox", "threefry2x32"]


@pytest.fixture(params=IMPLS)
def impl(request):
    return request.param


@pytest.mark.parametrize("seed", [0, 42, 2**63, 2**64 - 1])
def test_key_holds_the_seed_and_offset_zero(device, seed):
    key = random.key(seed, device=device)
    assert (key.dtype, key.device.type, key.tolist()) == (torch.uint64, device.type, [seed, 0])


@given(seed=st.integers(0, 2**64 - 1), impl=st.sampled_from(IMPLS), num=st.integers(1, 20))
def test_fold_in_gives_the_rows_of_split(seed, impl, num):
    key = random.key(seed, impl)
    rows = random.split(key, num).tolist()
    assert rows == [random.fold_in(key, i).tolist() for i in range(num)]
    assert rows == [random.fold_in(key, torch.tensor(i)).tolist() for i in range(num)]


@pytest.mark.parametrize("data", [-1, -(2**63)])
def test_negative_data_counts_modulo_two_to_the_64(data):
    key = random.key(1)
    assert random.fold_in(key, data).tolist() == random.fold_in(key, data + 2**64).tolist()
    assert random.fold_in(key, data).tolist() == random.fold_in(key, torch.tensor(data)).tolist()


def test_split_unpacks_and_its_rows_do_not_depend_on_num(device, impl):
    key = random.key(5, impl, device=device)
    a, b = random.split(key)
    assert a.shape == b.shape == (2,)
    assert a.device.type == device.type
    assert a.dtype == key.dtype
    assert [a.tolist(), b.tolist()] == random.split(key, 7)[:2].tolist() == random.split(key, 100)[:2].tolist()


def test_keys_are_left_alone_and_draws_repeat(device, impl):
    key = random.key(9, impl, device=device)
    first = random.bits(key, (8,))
    random.split(key, 3), random.fold_in(key, 4), random.permutation(key, 9), random.split(key, 50)
    assert key.tolist() == random.key(9, impl).tolist()
    assert torch.equal(first, random.bits(key, (8,)))


def test_words_do_not_depend_on_the_shape(impl):
    key = random.key(3, impl)
    assert torch.equal(random.bits(key, (5, 7)).flatten(), random.bits(key, (35,)))
    assert torch.equal(random.bits(key, (35,))[:6], random.bits(key, (2, 3)).flatten())
    assert random.bits(key).shape == ()
    assert random.bits(key, (3, 0)).shape == (3, 0)


def test_the_bits_of_a_stream_are_fair_coins(impl):
    n = 2**16
    words = random.bits(random.key(2024, impl), (n,))
    ones = torch.stack([words >> bit & 1 for bit in range(32)]).sum(1, dtype=torch.float64)
    assert ((ones - n / 2).abs() / math.sqrt(n / 4)).max() < 4.5
    assert len(words.unique()) > 0.9999 * n


def test_siblings_children_and_neighbours_are_uncorrelated(impl):
    n = 2**15
    parent = random.key(0, impl)
    family = [parent, *random.split(parent, 4), random.fold_in(random.fold_in(parent, 0), 0), random.key(1, impl)]
    draws = torch.stack([random.uniform(key, (n,), dtype=torch.float64) for key in family])
    correlation = torch.corrcoef(draws) - torch.eye(len(family), dtype=torch.float64)
    assert correlation.abs().max() < 4.5 / math.sqrt(n)
    shifted = torch.corrcoef(torch.cat([draws[:, 1:], draws[:, :-1]]))[: len(family), len(family) :]
    assert shifted.abs().max() < 4.5 / math.sqrt(n)


def test_keys_of_a_large_family_differ():
    keys = random.split(random.key(11), 10_000).view(torch.int64)
    assert len(keys[:, 0].unique()) == len(keys[:, 1].unique()) == 10_000


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (TypeError, r"key: the seed is 1.5, expected an int", lambda: random.key(1.5)),
        (TypeError, r"key: the seed is True", lambda: random.key(True)),
        (ValueError, r"key: the seed is -1, expected 0 <= seed < 2\*\*64; take seed %", lambda: random.key(-1)),
        (ValueError, r"seed is 18446744073709551616", lambda: random.key(2**64)),
        (ValueError, r"key: impl is 'rbg', expected one of 'philox', 'threefry2x32'", lambda: random.key(0, "rbg")),
        (
            TypeError,
            r"random: the key is 3, expected a uint64 or int32 tensor of shape \(2,\)",
            lambda: random.split(3),
        ),
        (
            TypeError,
            r"random: the key is 3, expected",
            lambda: random.truncated_normal(3, lower=-1, upper=1),
        ),
        (
            TypeError,
            r"random: the key is a tensor of torch.float32 and shape \(2,\)",
            lambda: random.uniform(torch.zeros(2)),
        ),
        (
            ValueError,
            r"random: got keys of shape \(3, 2\), expected one key; use vmap",
            lambda: random.bits(random.split(random.key(0), 3)),
        ),
        (
            ValueError,
            r"random: got keys of shape \(2, 2\), expected one key; use vmap",
            lambda: random.bits(random.split(random.key(0, "threefry2x32"))),
        ),
        (ValueError, r"split: num is 0, expected at least 1", lambda: random.split(random.key(0), 0)),
        (ValueError, r"fold_in: data is 18446744073709551616", lambda: random.fold_in(random.key(0), 2**64)),
        (
            ValueError,
            r"fold_in: data is -1, expected 0 <= data < 4294967296 for this kind of key",
            lambda: random.fold_in(random.key(0, "threefry2x32"), -1),
        ),
        (
            ValueError,
            r"fold_in: data is 4294967296, expected 0 <= data",
            lambda: random.fold_in(random.key(0, "threefry2x32"), 2**32),
        ),
        (
            ValueError,
            r"fold_in: data is a tensor of torch.float32 and shape \(3,\), expected an int or a 0-dim int64",
            lambda: random.fold_in(random.key(0), torch.zeros(3)),
        ),
    ],
)
def test_errors_say_what_to_do(error, match, call):
    with pytest.raises(error, match=match):
        call()
