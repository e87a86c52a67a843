"""The default generator's words: published vectors, PyTorch's own operators, and figures that must never change."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from funcdl import _torch, random
from funcdl.random import philox

ALL_ONES = 2**32 - 1
WORDS = st.integers(0, 2**64 - 1)


def unsigned(words):
    return [word % 2**32 for word in words.flatten().tolist()]


def raw_key(seed, offset, device=None):
    return torch.tensor([seed, offset], dtype=torch.uint64, device=device)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([ALL_ONES] * 4, [ALL_ONES] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_cipher_gives_the_known_answers_of_random123(device, counter, key, expected):
    block = philox.cipher(
        [torch.tensor([word], device=device) for word in counter], [torch.tensor([word], device=device) for word in key]
    )
    assert [int(word) for word in block] == expected


def test_words_of_derived_keys_are_pinned(device):
    child = random.fold_in(random.key(2**63 + 12345, device=device), 2**40 + 3)
    grandchild = random.split(child, 3)[2]
    assert child.tolist() == [0xDC4D80FAE80FC481, 0x15C300F786CDF09A]
    assert grandchild.tolist() == [0x42861246EF19FBBA, 0xA4AAB96158839793]
    expected = [0x569AD44B, 0xB04CF7FA, 0x7048B505, 0xCF9F7903, 0xFE3AB48A, 0xC36C3EA4]
    assert unsigned(random.bits(grandchild, (6,))) == expected
    assert random.fold_in(random.key(42, device=device), -1).tolist() == [0x176438358F40BD76, 0xD013ABA56FAE237C]


def needs_native(device):
    if not philox.has_native(device.type):
        pytest.skip(f"this torch has no Philox operator for {device.type}")


@given(keys=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=3), count=st.integers(0, 19))
def test_plain_words_equal_native_words(keys, count):
    needs_native(torch.device("cpu"))
    keys = torch.tensor(keys, dtype=torch.uint64)
    assert torch.equal(philox.plain_words(keys, count), philox.native_words(keys, count))


@pytest.mark.parametrize("offset", [0, 2**32 - 2, 2**63 - 2, 2**64 - 2, 2**64 - 1])
@pytest.mark.parametrize("count", [0, 1, 4, 5, 4 * philox._CHUNK + 3])
def test_plain_words_equal_native_words_where_the_counter_carries(device, offset, count):
    needs_native(device)
    keys = torch.stack([raw_key(2**64 - 1, offset, device), raw_key(offset, 7, device)]).T.contiguous().T  # strided
    assert torch.equal(philox.plain_words(keys, count), philox.native_words(keys, count))


@given(seed=WORDS, offset=WORDS, data=st.integers(-(2**63), 2**64 - 1))
def test_derived_keys_equal_those_of_torch(seed, offset, data):
    native = pytest.importorskip("torch.func._random")
    key = raw_key(seed, offset)
    assert random.split(key, 3).tolist() == native.split(key, 3).tolist()
    assert random.fold_in(key, data).tolist() == native.fold_in(key, data).tolist()
    assert torch.equal(random.bits(key, (3, 5)), native.bits(key, 3, 5))


@pytest.mark.parametrize("offset", [0, 2**32 - 1, 2**64 - 3])
def test_the_plain_words_serve_a_torch_without_the_operator(device, offset, monkeypatch):
    key = raw_key(3, offset, device)

    def everything():
        return random.split(key, 5).tolist(), random.fold_in(key, 6).tolist(), random.bits(key, (2, 3)).tolist()

    with_operator = everything()
    monkeypatch.setattr(philox, "has_native", lambda device_type: False)
    assert everything() == with_operator


@pytest.mark.parametrize(
    "operator",
    [
        lambda result, key, low, high: result.fill_(7),  # other words
        lambda result, key: result,  # other arguments: TypeError
        lambda result, key, low, high: torch.zeros(2) @ torch.zeros(3),  # raises RuntimeError
    ],
)
def test_an_operator_that_changed_is_not_used(operator, monkeypatch):
    monkeypatch.setattr(_torch, "philox_randint_", operator)
    assert not philox.has_native.__wrapped__("cpu")
