"""The second generator against `jax.random`: figures that JAX 0.10 gave, and JAX itself where it is installed."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from funcdl import random
from funcdl.random import threefry, xla

ALL_ONES = 2**32 - 1
FAR_OUT = 1 - torch.logspace(-4, -9, 50, dtype=torch.float64)
WORDS = st.integers(0, ALL_ONES)
SHAPES = st.sampled_from([(), (0,), (1,), (5,), (2, 3), (7, 1, 3), (3, 0), (2, 2, 9, 1)])  # JAX compiles for each


def words(tensor):
    """Tells int32 words as JAX does: unsigned, here in hexadecimal."""
    return [f"{word % 2**32:08x}" for word in tensor.flatten().tolist()]


def ulps(actual, expected):
    """Returns how many numbers of the dtype lie between two tensors at most."""
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    integers = torch.stack([actual, expected]).view(torch.int32 if actual.dtype == torch.float32 else torch.int64)
    ordered = torch.where(integers < 0, torch.iinfo(integers.dtype).min - integers, integers).long()
    return (ordered[0] - ordered[1]).abs().max().item()


def from_hex(figures, dtype=torch.float32):
    return torch.tensor([float.fromhex(figure) for figure in figures], dtype=dtype)


def grandchild(device=None):
    child = random.fold_in(random.key(2**31 + 12345, "threefry2x32", device=device), 2**32 - 3)
    return random.split(child, 3)[2]


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0, 0], [0, 0], [0x6B200159, 0x99BA4EFE]),
        ([ALL_ONES] * 2, [ALL_ONES] * 2, [0x1CB996FC, 0xBB002BE7]),
        ([0x243F6A88, 0x85A308D3], [0x13198A2E, 0x03707344], [0xC4923A9C, 0x483DF7A0]),
    ],
)
def test_cipher_gives_the_known_answers_of_random123(device, counter, key, expected):
    assert list(threefry.cipher_of_numbers(*key, *counter)) == expected
    arrays = threefry.cipher(*(np.array([word], dtype=np.uint32) for word in key + counter))
    assert [word.item() for word in arrays] == expected
    tensors = threefry.cipher(
        *(torch.tensor([word], dtype=torch.uint32, device=device).view(torch.int32) for word in key + counter)
    )
    assert [int(word) % 2**32 for word in tensors] == expected


@given(key0=WORDS, key1=WORDS, counter=st.integers(0, 2**63 - 1))
def test_the_three_forms_of_the_cipher_agree(key0, key1, counter):
    inputs = [key0, key1, counter >> 32, counter % 2**32]
    expected = list(threefry.cipher_of_numbers(*inputs))
    arrays = threefry.cipher(*(np.array([word], dtype=np.uint32) for word in inputs))
    assert [word.item() for word in arrays] == expected
    tensors = [torch.tensor([word], dtype=torch.uint32).view(torch.int32) for word in inputs]
    assert [int(word) % 2**32 for word in threefry.cipher(*tensors)] == expected
    key = torch.stack(tensors[:2], dim=-1)[0]
    assert [int(word) % 2**32 for word in threefry.blocks(key, torch.tensor([counter]))] == expected


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (0, ["00000000", "00000000"]),
        (42, ["00000000", "0000002a"]),
        (2**31, ["00000000", "80000000"]),
        (2**32 - 1, ["00000000", "ffffffff"]),
        (2**40 + 3, ["00000100", "00000003"]),
        (2**64 - 2, ["ffffffff", "fffffffe"]),
    ],
)
def test_key_holds_both_halves_of_the_seed(device, seed, expected):
    key = random.key(seed, "threefry2x32", device=device)
    assert (key.dtype, key.device.type, words(key)) == (torch.int32, device.type, expected)


def test_derived_keys_are_those_of_jax(device):
    key = random.key(2**31 + 12345, "threefry2x32", device=device)
    assert words(random.split(key)) == ["28e068df", "0ed7464b", "4ed4a74d", "db58cd29"]
    assert words(random.fold_in(key, 2**32 - 3)) == ["01fc0400", "996b1c6e"]
    assert words(random.fold_in(key, 2**31)) == ["88485366", "9c86c0f6"]
    assert words(grandchild(device)) == ["610a8986", "bb29f9bd"]
    assert words(random.split(random.split(grandchild(device), 5)[4])[1]) == ["1bc2723a", "1191e090"]


def test_data_of_a_tensor_counts_modulo_2_to_the_32(device):
    key = random.key(2**31 + 12345, "threefry2x32", device=device)
    assert words(random.fold_in(key, torch.tensor(-1, device=device))) == ["6ef08a4e", "8f64cc08"]
    assert words(random.fold_in(key, torch.tensor(2**32 + 2**31, device=device))) == ["88485366", "9c86c0f6"]


def test_words_are_those_of_jax(device):
    key = grandchild(device)
    first = ["8298fdfd", "05b3f040", "10da2c3b", "12ecef49", "de8dc20a", "52bd3895"]
    assert words(random.bits(key, (6,))) == first
    assert words(random.bits(key)) == first[:1]
    assert words(random.bits(key, (3, 5))[1]) == ["52bd3895", "cb8ccc59", "c50e3e25", "d917d3f2", "6ca05f06"]
    many = random.bits(key, (2**17 + 3,))[[2**15 - 1, 2**15, 2**16 + 1, -1]]
    assert words(many) == ["79f6cbb2", "3a520a77", "58483683", "237af9de"]
    for shape in ((0,), (3, 0), (0, 2)):
        assert random.bits(key, shape).shape == shape
        assert random.uniform(key, shape, dtype=torch.float64).shape == shape


def test_uniform_numbers_are_those_of_jax(device):
    key, double = grandchild(device), torch.float64
    single = ["0x1.0531f8p-1", "0x1.6cfcp-6", "0x1.0da2cp-4", "0x1.2eceep-4"]
    assert random.uniform(key, (4,)).tolist() == from_hex(single).tolist()
    bounded = ["0x1.3b8326p-2", "-0x1.509a66p-4", "-0x1.83c866p-5", "-0x1.4eb5p-5"]
    assert random.uniform(key, (4,), low=-0.1, high=0.7).tolist() == from_hex(bounded).tolist()
    wide = ["0x1.3500b7ad21c70p-3", "0x1.eb7e4571c6e18p-3", "0x1.73c67b3752722p-1"]
    assert random.uniform(key, (3,), dtype=double).tolist() == from_hex(wide, double).tolist()
    bounded = ["0x1.5337caba71c62p-6", "0x1.78ca08b60b025p-4", "0x1.ec70c52550b69p-2"]
    assert random.uniform(key, (3,), low=-0.1, high=0.7, dtype=double).tolist() == from_hex(bounded, double).tolist()


def test_discrete_draws_are_those_of_jax(device):
    key = grandchild(device)
    assert random.bernoulli(key, 0.3, (12,)).int().tolist() == [0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert random.randint(key, (8,), -5, 100).tolist() == [51, 56, 38, 61, 22, 11, 66, 66]
    assert random.randint(key, (3,), -(2**31), 2**31 - 1).tolist() == [101276293, -2079343399, 652227260]
    assert random.randint(key, (3,), 0, 10**6).tolist() == [759941, 140249, 710908]
    assert random.randint(key, (4,), 0, 256, dtype=torch.uint8).tolist() == [133, 217, 188, 228]
    assert random.permutation(key, 8).tolist() == [1, 3, 0, 7, 2, 4, 6, 5]
    assert random.permutation(key, 2000)[:8].tolist() == [544, 1934, 873, 1930, 614, 795, 572, 523]
    logits = torch.tensor([0.0, 1.0, 2.0], device=device)
    assert random.categorical(key, logits, shape=(12,)).tolist() == [2, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2]
    logits = (torch.arange(24.0, device=device) / 6).view(4, 3, 2)
    assert random.categorical(key, logits, dim=1).tolist() == [[2, 2], [1, 2], [0, 0], [2, 2]]


def test_choices_are_those_of_jax(device):
    key = grandchild(device)
    assert random.choice(key, 10, (6,)).tolist() == [1, 1, 8, 6, 2, 6]
    assert random.choice(key, 10, (6,), replace=False).tolist() == [1, 3, 0, 7, 9, 2]
    p = torch.tensor([0.1, 0.2, 0.3, 0.4], device=device)
    assert random.choice(key, 4, (8,), p=p).tolist() == [2, 3, 3, 3, 1, 3, 1, 1]
    assert random.choice(key, 4, (), p=p).tolist() == 2
    assert random.choice(key, 4, (3,), replace=False, p=p).tolist() == [3, 0, 2]
    p = torch.arange(1, 41, dtype=torch.float32, device=device) / 820
    assert random.choice(key, 40, (2, 5), p=p).tolist() == [[27, 39, 38, 38, 14], [32, 17, 18, 15, 30]]


def test_continuous_draws_are_within_4_ulp_of_jax():
    key, double = grandchild(), torch.float64
    normal = ["0x1.a0c368p-6", "-0x1.0121cp+1", "-0x1.81f1c4p+0", "-0x1.727846p+0", "0x1.1f9252p+0"]
    assert ulps(random.normal(key, (5,)), from_hex(normal)) <= 4
    truncated = ["-0x1.646dfcp-2", "-0x1.c756e4p+0", "-0x1.80126cp+0", "-0x1.75aec6p+0"]
    assert ulps(random.truncated_normal(key, (4,), lower=-2, upper=0.5), from_hex(truncated)) <= 4
    truncated = ["-0x1.661756p+0", "-0x1.58c792p+1", "-0x1.27ae02p+1", "-0x1.2208b6p+1"]
    assert ulps(random.truncated_normal(key, (4,), lower=-math.inf, upper=-1), from_hex(truncated)) <= 4
    exponential = ["0x1.6d637cp-1", "0x1.711c74p-6", "0x1.16eba4p-4", "0x1.3a95d2p-4"]
    assert ulps(random.exponential(key, (4,)), from_hex(exponential)) <= 4
    gumbel = ["0x1.956d9p-2", "-0x1.560b2p+0", "-0x1.003a24p+0", "-0x1.ea23dcp-1"]
    torch.testing.assert_close(random.gumbel(key, (4,)), from_hex(gumbel), rtol=0, atol=1e-6)
    normal = ["-0x1.085cc1165c753p+0", "-0x1.69a5ff4c2ce33p-1", "0x1.33c774e11cfeep-1"]
    assert ulps(random.normal(key, (3,), dtype=double), from_hex(normal, double)) <= 4
    truncated = ["-0x1.282e1eacd3794p+0", "-0x1.ce65207f5632bp-1", "0x1.55a1efae6f304p-6"]
    draws = random.truncated_normal(key, (3,), lower=-2, upper=0.5, dtype=double)
    assert ulps(draws, from_hex(truncated, double)) <= 4
    exponential = ["0x1.4ef5f7b4af450p-3", "0x1.1901777e72c48p-2", "0x1.4b8a45a83d327p+0"]
    assert ulps(random.exponential(key, (3,), dtype=double), from_hex(exponential, double)) <= 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_functions_of_xla_approximate_the_true_ones(dtype):
    x = torch.linspace(-1, 1, 2001, dtype=dtype)[1:-1]
    tolerance = 1e-6 if dtype == torch.float32 else 1e-13
    torch.testing.assert_close(xla.erfinv(x), torch.erfinv(x), rtol=100 * tolerance, atol=0)
    torch.testing.assert_close(xla.log1p(x), torch.log1p(x), rtol=tolerance, atol=0)
    for value in (-20.0, -2.5, -0.1, 0.0, 1e-3, 1.7, math.inf):
        expected = math.erf(value / math.sqrt(2))
        assert math.isclose(xla.erf_of_normal(value, dtype), expected, rel_tol=tolerance)
    if dtype == torch.float64:
        torch.testing.assert_close(xla.erfinv(FAR_OUT), torch.erfinv(FAR_OUT), rtol=1e-8, atol=0)
    assert xla.erfinv(torch.tensor([-1.0, 0.0, 1.0], dtype=dtype)).tolist() == [-math.inf, 0.0, math.inf]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_multiply_add_rounds_once(dtype):
    x, numbers = random.uniform(random.key(1), (50,), dtype=dtype), random.normal(random.key(2), (100, 2), dtype=dtype)
    for factor, term in [*numbers.tolist(), (0.25, 1e-3), (1.6, 0.0)]:
        factor, term = torch.tensor([factor, term], dtype=dtype).tolist()
        exact = [float(Fraction(value) * Fraction(factor) + Fraction(term)) for value in x.tolist()]
        assert torch.equal(xla.multiply_add(x, factor, term), torch.tensor(exact, dtype=dtype))


def test_cumulated_sums_are_added_in_the_order_of_jax():
    sums = xla.cumsum(random.uniform(random.key(0, "threefry2x32"), (1000,)))
    expected = ["0x1.2dab6cp+3", "0x1.485cb2p+3", "0x1.067878p+7", "0x1.07c9eep+7", "0x1.fa7b82p+7", "0x1.f70deap+8"]
    assert sums[[15, 16, 255, 256, 500, 999]].tolist() == from_hex(expected).tolist()
    assert xla.cumsum(torch.ones(1)).tolist() == [1.0]


def test_the_rare_draw_at_an_infinite_bound_is_the_greatest_number():
    key = random.key(2468, "threefry2x32")
    assert random.uniform(key, (1006,))[-1] == 0  # one draw in 2^23 is
    draws = random.truncated_normal(key, (1006,), lower=-math.inf, upper=math.inf)
    assert draws[-1] == -torch.finfo(torch.float32).max  # as in JAX
    assert draws[:-1].abs().max() < 6


# What follows compares with an installed JAX, the 32-bit draws under its defaults and the 64-bit ones with x64.


@pytest.fixture(scope="module")
def jax():
    jax = pytest.importorskip("jax")
    if not jax.config.jax_threefry_partitionable:
        pytest.skip("this JAX derives keys in its former way")
    return jax


def same(actual, expected):
    return actual.tolist() == np.asarray(expected).tolist()


def of_jax(array):
    return torch.from_numpy(np.array(array))


def key_pair(jax, seed, path):
    """Returns one key in both libraries: from a seed, folding in and splitting alternately."""
    mine, theirs = random.key(seed, "threefry2x32"), jax.random.key(seed, impl="threefry2x32")
    for i, number in enumerate(path):
        if i % 2:
            mine, theirs = random.split(mine, number % 5 + 1)[-1], jax.random.split(theirs, number % 5 + 1)[-1]
        else:
            mine, theirs = random.fold_in(mine, number), jax.random.fold_in(theirs, number)
    return mine, theirs


KEYS = st.tuples(WORDS, st.lists(WORDS, max_size=3))


@given(key=KEYS, num=st.sampled_from([1, 2, 3, 20]), data=WORDS, shape=SHAPES)
@settings(deadline=None, max_examples=30)
def test_keys_and_words_equal_jax(jax, key, num, data, shape):
    mine, theirs = key_pair(jax, *key)
    uint32 = mine.numpy().view(np.uint32)
    assert same(uint32, jax.random.key_data(theirs))
    assert same(random.split(mine, num).numpy().view(np.uint32), jax.random.key_data(jax.random.split(theirs, num)))
    assert same(
        random.fold_in(mine, data).numpy().view(np.uint32), jax.random.key_data(jax.random.fold_in(theirs, data))
    )
    assert same(random.bits(mine, shape).numpy().view(np.uint32), jax.random.bits(theirs, shape, "uint32"))


@given(
    key=KEYS,
    shape=SHAPES,
    low=st.floats(-1e3, 1e3, width=32),
    span=st.floats(2**-7, 1e3, width=32),
    p=st.floats(0, 1, width=32),
    n=st.sampled_from([1, 2, 17, 50]),
    least=st.integers(-(2**31), 2**31 - 2),
    count=st.integers(1, 2**32),
)
@settings(deadline=None, max_examples=30)
def test_draws_equal_jax(jax, key, shape, low, span, p, n, least, count):
    mine, theirs = key_pair(jax, *key)
    assert same(random.uniform(mine, shape), jax.random.uniform(theirs, shape))
    high = float(np.float32(low) + np.float32(span))
    bounded = jax.random.uniform(theirs, shape, minval=low, maxval=high)
    assert same(random.uniform(mine, shape, low=low, high=high), bounded)
    assert same(random.bernoulli(mine, p, shape), jax.random.bernoulli(theirs, p, shape))
    end = min(least + count, 2**31 - 1)
    assert same(random.randint(mine, shape, least, end), jax.random.randint(theirs, shape, least, end))
    assert same(random.permutation(mine, n), jax.random.permutation(theirs, n))
    assert same(random.choice(mine, n, shape), jax.random.choice(theirs, n, shape))
    few = min(n, 5)
    assert same(random.choice(mine, n, (few,), False), jax.random.choice(theirs, n, (few,), False))
    weights = of_jax(jax.random.uniform(theirs, (n,))) + 0.01
    weighted = jax.random.choice(theirs, n, shape, p=weights.numpy())
    if math.prod(shape):  # JAX gives nothing a type of its own
        assert same(random.choice(mine, n, shape, p=weights), weighted)


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_many_draws_equal_jax_or_nearly(jax, seed):
    n = 2**16 + 5
    mine, theirs = key_pair(jax, seed, [3, 4])
    assert same(
        random.uniform(mine, (n,), low=-0.1, high=0.7), jax.random.uniform(theirs, (n,), minval=-0.1, maxval=0.7)
    )
    assert same(random.permutation(mine, n), jax.random.permutation(theirs, n))
    weights = of_jax(jax.random.uniform(theirs, (1000,)))
    assert same(xla.cumsum(weights), jax.numpy.cumsum(weights.numpy()))
    weighted = jax.random.choice(theirs, 1000, (n,), p=weights.numpy())
    assert same(random.choice(mine, 1000, (n,), p=weights), weighted)
    assert ulps(random.normal(mine, (n,)), of_jax(jax.random.normal(theirs, (n,)))) <= 4
    assert ulps(random.exponential(mine, (n,)), of_jax(jax.random.exponential(theirs, (n,)))) <= 4
    for lower, upper in ((-2.0, 2.0), (-5.0, 0.3), (2.0, 3.3), (-math.inf, 1.0)):
        expected = of_jax(jax.random.truncated_normal(theirs, lower, upper, (n,)))
        assert ulps(random.truncated_normal(mine, (n,), lower=lower, upper=upper), expected) <= 4
    gumbel = of_jax(jax.random.gumbel(theirs, (n,)))
    torch.testing.assert_close(random.gumbel(mine, (n,)), gumbel, rtol=0, atol=1e-6)
    logits = of_jax(jax.random.normal(theirs, (n // 8, 8)))
    scores = (gumbel[: logits.numel()].view_as(logits) + logits).sort(-1).values
    clear = scores[:, -1] - scores[:, -2] > 1e-5
    expected = of_jax(jax.random.categorical(theirs, logits.numpy())).long()
    assert torch.equal(random.categorical(mine, logits)[clear], expected[clear])


@pytest.mark.parametrize("seed", [0, 2**40 + 7])
def test_float64_draws_equal_those_of_jax_with_x64(jax, seed):
    n, double = 2**16 + 5, torch.float64
    with jax.enable_x64(True):
        mine, theirs = key_pair(jax, seed, [3, 4])
        key_data, uniform = jax.random.key_data(theirs), jax.random.uniform(theirs, (n,))
        bounded = jax.random.uniform(theirs, (n,), minval=-0.1, maxval=0.7)
        normal, exponential = of_jax(jax.random.normal(theirs, (n,))), of_jax(jax.random.exponential(theirs, (n,)))
        truncated = of_jax(jax.random.truncated_normal(theirs, -2.0, 0.5, (n,)))
        integers = jax.random.randint(theirs, (9,), -5, 1000, "int32")
        far_out = of_jax(jax.jit(jax.scipy.special.erfinv)(FAR_OUT.numpy()))
    assert same(mine.numpy().view(np.uint32), key_data)
    assert same(random.uniform(mine, (n,), dtype=double), uniform)
    assert same(random.uniform(mine, (n,), low=-0.1, high=0.7, dtype=double), bounded)
    assert same(random.randint(mine, (9,), -5, 1000), integers)
    assert ulps(random.normal(mine, (n,), dtype=double), normal) <= 4
    assert ulps(random.exponential(mine, (n,), dtype=double), exponential) <= 4
    assert ulps(xla.erfinv(FAR_OUT), far_out) <= 4
    assert ulps(random.truncated_normal(mine, (n,), lower=-2, upper=0.5, dtype=double), truncated) <= 4
