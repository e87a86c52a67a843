"""Distributions: pinned figures, their derivation from words, ranges, and statistics of fixed keys."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from funcdl import random

N = 2**16
FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
SEEDS = st.integers(0, 2**64 - 1)


def kolmogorov_distance(draws, cumulative):
    """Returns the Kolmogorov-Smirnov statistic times sqrt(n): above 2.5 for one sample in 130,000 of the right kind."""
    draws = draws.double().sort().values
    steps = torch.arange(len(draws) + 1, dtype=torch.float64) / len(draws)
    expected = cumulative(draws)
    return math.sqrt(len(draws)) * max((expected - steps[:-1]).max(), (steps[1:] - expected).max())


def chi_square_score(counts, expected):
    """Returns by how many standard deviations the chi-square statistic lies above its mean."""
    degrees = len(counts) - 1
    return float((((counts - expected) ** 2 / expected).sum() - degrees) / math.sqrt(2 * degrees))


def normal_cumulative(x):
    return (1 + torch.erf(x / math.sqrt(2))) / 2


def test_draws_are_pinned(device):
    key = random.split(random.fold_in(random.key(2**63 + 12345, device=device), 2**40 + 3), 3)[2]
    single = ["0x1.5a6b500000000p-2", "0x1.6099ec0000000p-1", "0x1.c122d00000000p-2"]
    assert [x.hex() for x in random.uniform(key, (3,)).tolist()] == single
    double = ["0x1.5a6b512ec133cp-2", "0x1.c122d4173e7dcp-2"]
    assert [x.hex() for x in random.uniform(key, (2,), dtype=torch.float64).tolist()] == double
    assert random.bernoulli(key, 0.5, (8,)).tolist() == [True, False, True, False, False, False, True, True]
    assert random.randint(key, (8,), -5, 100).tolist() == [46, 83, 66, 4, 88, 59, 47, 52]
    assert random.randint(key, (3,), 0, 2**32).tolist() == [659709036, 2520510640, 862722625]
    assert random.permutation(key, 8).tolist() == [5, 0, 2, 6, 1, 3, 4, 7]


def test_uniform_takes_its_mantissa_from_the_upper_bits():
    key = random.key(1)
    words = [word % 2**32 for word in random.bits(key, (6,)).tolist()]
    assert random.uniform(key, (6,)).tolist() == [(word >> 9) / 2**23 for word in words]
    pairs = [high << 32 | low for high, low in zip(words[::2], words[1::2], strict=True)]
    assert random.uniform(key, (3,), dtype=torch.float64).tolist() == [(pair >> 12) / 2**52 for pair in pairs]


@given(seed=SEEDS, dtype=st.sampled_from(FLOATS))
def test_uniform_stays_below_one(seed, dtype):
    draws = random.uniform(random.key(seed), (64,), dtype=dtype)
    assert draws.dtype == dtype
    assert (draws >= 0).all()
    assert (draws < 1).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_do_not_round_up_to_one(dtype):
    draws = random.uniform(random.key(0), (2**18,), dtype=dtype)
    assert draws.max() == 1 - torch.finfo(dtype).eps / 2
    assert (draws[: 2**10] - random.uniform(random.key(0), (2**10,))).abs().max() < torch.finfo(dtype).eps / 2


@given(seed=SEEDS, low=st.floats(-1e30, 1e30), span=st.floats(1e-3, 1e30), dtype=st.sampled_from(FLOATS[:2]))
def test_uniform_stays_between_its_bounds(seed, low, span, dtype):
    high = low + max(span, abs(low) * 1e-3)
    draws = random.uniform(random.key(seed), (64,), low=low, high=high, dtype=dtype)
    bounds = torch.tensor([low, high], dtype=dtype)
    assert (draws >= bounds[0]).all()
    assert (draws <= bounds[1]).all()
    assert draws.max() - draws.min() > 0.5 * (bounds[1] - bounds[0])


def test_uniform_with_bounds_rounds_product_and_sum():
    key, low, high = random.key(4), torch.tensor(-0.3), torch.tensor(1.7)
    expected = torch.maximum(low, random.uniform(key, (N,)) * (high - low) + low)
    assert torch.equal(random.uniform(key, (N,), low=-0.3, high=1.7), expected)


def test_uniform_is_uniform():
    draws = random.uniform(random.key(7), (N,))
    assert kolmogorov_distance(draws, lambda x: x) < 2.5
    assert abs(chi_square_score(torch.histc(draws, 256, 0, 1), N / 256)) < 4.5


@pytest.mark.parametrize("dtype", FLOATS)
def test_normal_has_the_right_distribution(dtype):
    draws = random.normal(random.key(3), (N,), dtype=dtype)
    assert draws.dtype == dtype
    assert draws.isfinite().all()
    draws = draws.double()
    # The standard errors of the four moments are sqrt(1, 2, 15, 96) / sqrt(N); half types add their rounding.
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((draws**power).mean() - moment) < 4.5 * math.sqrt(variance / N)
    if dtype in (torch.float32, torch.float64):
        assert kolmogorov_distance(draws, normal_cumulative) < 2.5


def test_normal_is_the_inverse_error_function_of_an_open_interval():
    key = random.key(6)
    inside = random.uniform(key, (N,), low=-1 + 2**-24, high=1.0)
    torch.testing.assert_close(random.normal(key, (N,)), math.sqrt(2) * torch.erfinv(inside))


def test_normal_takes_mean_and_standard_deviation():
    key = random.key(6)
    standard = random.normal(key, (4, 3))
    torch.testing.assert_close(random.normal(key, (4, 3), mean=2.0, std=0.5), 2 + 0.5 * standard)
    std = torch.tensor([1.0, 0.0, 3.0])
    torch.testing.assert_close(random.normal(key, (4, 3), std=std), std * standard)


@pytest.mark.parametrize(("lower", "upper"), [(-2.0, 2.0), (0.5, math.inf), (-math.inf, -1.0), (-0.1, 3.0)])
def test_truncated_normal_has_the_right_distribution(lower, upper):
    draws = random.truncated_normal(random.key(3), (N,), lower=lower, upper=upper)
    assert lower <= draws.min()
    assert draws.max() <= upper
    ends = normal_cumulative(torch.tensor([lower, upper], dtype=torch.float64))
    assert kolmogorov_distance(draws, lambda x: (normal_cumulative(x) - ends[0]) / (ends[1] - ends[0])) < 2.5


def test_gumbel_has_the_right_distribution():
    assert kolmogorov_distance(random.gumbel(random.key(3), (N,)), lambda x: torch.exp(-torch.exp(-x))) < 2.5


def test_exponential_has_the_right_distribution():
    draws = random.exponential(random.key(3), (N,))
    assert (draws >= 0).all()
    assert kolmogorov_distance(draws, lambda x: 1 - torch.exp(-x)) < 2.5


@pytest.mark.parametrize("draw", [random.gumbel, random.exponential])
@pytest.mark.parametrize("dtype", FLOATS)
def test_gumbel_and_exponential_are_finite_in_every_dtype(draw, dtype):
    draws = draw(random.key(1), (N,), dtype=dtype)
    assert draws.dtype == dtype
    assert draws.isfinite().all()


@pytest.mark.parametrize("p", [0.0, 0.01, 0.3, 0.5, 1.0])
def test_bernoulli_is_true_with_probability_p(p):
    draws = random.bernoulli(random.key(2), p, (N,))
    assert draws.dtype == torch.bool
    assert abs(draws.double().mean() - p) <= 4.5 * math.sqrt(p * (1 - p) / N)


def test_bernoulli_with_a_tensor_draws_for_every_entry():
    p = torch.tensor([0.1, 0.9])
    assert random.bernoulli(random.key(0), p).shape == (2,)
    draws = random.bernoulli(random.key(0), p, (N, 2)).double()
    assert ((draws.mean(0) - p).abs() < 4.5 * math.sqrt(0.09 / N)).all()
    assert torch.corrcoef(draws.T)[0, 1].abs() < 4.5 / math.sqrt(N)


@given(
    seed=SEEDS,
    low=st.integers(-(2**31), 2**31 - 1),
    span=st.integers(1, 2**32),
    dtype=st.sampled_from([torch.int64, torch.int32, torch.int16, torch.uint8]),
)
def test_randint_stays_in_its_range(seed, low, span, dtype):
    limits = torch.iinfo(dtype)
    low = max(low, limits.min) if low < 0 else low % (limits.max + 1)
    high = min(low + span, limits.max + 1)
    draws = random.randint(random.key(seed), (32,), low, high, dtype=dtype)
    assert draws.dtype == dtype
    assert all(low <= draw < high for draw in draws.tolist())
    assert draws.tolist() == random.randint(random.key(seed), (32,), low, high).tolist()


@pytest.mark.parametrize("n", [2, 10, 255, 1000])
def test_randint_is_uniform(n):
    draws = random.randint(random.key(8), (N,), -5, n - 5)
    assert abs(chi_square_score(torch.bincount(draws + 5, minlength=n).double(), N / n)) < 4.5


def test_randint_takes_the_remainder_of_two_words():
    key, n = random.key(8), 1000
    high, low = ([word % 2**32 for word in random.bits(each, (50,)).tolist()] for each in random.split(key))
    expected = [(h << 32 | w) % n for h, w in zip(high, low, strict=True)]
    assert random.randint(key, (50,), 0, n).tolist() == expected


@pytest.mark.parametrize("n", [1, 2, 100, 1625, 1626, 5000])
def test_permutation_is_one(device, n):
    order = random.permutation(random.key(1, device=device), n)
    assert order.dtype == torch.int64
    assert order.device.type == device.type
    assert torch.equal(order.sort().values, torch.arange(n, device=device))


def test_permutation_puts_every_element_everywhere_and_all_orders_are_alike():
    orders = torch.func.vmap(lambda key: random.permutation(key, 4))(random.split(random.key(6), 2**13))
    code = (orders * torch.tensor([64, 16, 4, 1])).sum(1)
    counts = torch.unique(code, return_counts=True)[1].double()
    assert len(counts) == 24
    assert abs(chi_square_score(counts, 2**13 / 24)) < 4.5


def test_permutation_of_a_tensor_shuffles_its_rows():
    rows, key = torch.arange(12.0).view(6, 2), random.key(3)
    before = rows.clone()
    assert torch.equal(random.permutation(key, rows), rows[random.permutation(key, 6)])
    assert torch.equal(rows, before)


def test_choice_draws_rows_with_and_without_replacement(device):
    key, rows = random.key(3, device=device), torch.arange(12.0, device=device).view(6, 2)
    numbers = random.choice(key, 6, (2, 5))
    assert torch.equal(random.choice(key, rows, (2, 5)), rows[numbers])
    assert torch.equal(numbers, random.randint(key, (2, 5), 0, 6))
    assert random.choice(key, 6).shape == ()
    assert random.choice(key, rows, (3, 0)).shape == (3, 0, 2)
    weights = torch.tensor([0.0, 1, 2, 3, 0, 4], device=device)
    for p in (None, weights):
        kept = random.choice(key, 6, (2, 2), replace=False, p=p)
        assert kept.shape == (2, 2)
        assert len(kept.unique()) == 4
    assert sorted(random.choice(key, 6, (4,), replace=False, p=weights).tolist()) == [1, 2, 3, 5]


@pytest.mark.parametrize("n", [3, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_choice_follows_its_weights(n, dtype):
    weights = 2.0 * torch.arange(n).to(dtype)
    expected = weights.double() / weights.double().sum()
    counts = torch.bincount(random.choice(random.key(5), n, (N,), p=weights), minlength=n).double()
    assert counts[0] == 0
    assert abs(chi_square_score(counts[1:], N * expected[1:])) < 4.5


def test_choice_without_replacement_follows_its_weights():
    p = torch.tensor([0.5, 0.3, 0.2])
    pairs = torch.func.vmap(lambda key: random.choice(key, 3, (2,), False, p))(random.split(random.key(6), 2**14))
    counts = torch.bincount(3 * pairs[:, 0] + pairs[:, 1], minlength=9).double()
    expected = torch.tensor([[0 if a == b else p[a] * p[b] / (1 - p[a]) for b in range(3)] for a in range(3)])
    seen = expected.flatten() > 0
    assert counts[~seen].sum() == 0
    assert abs(chi_square_score(counts[seen], 2**14 * expected.flatten()[seen].double())) < 4.5


def test_categorical_follows_the_softmax():
    logits = torch.tensor([0.0, 1.0, 2.0, -math.inf])
    counts = torch.bincount(random.categorical(random.key(5), logits, shape=(N,)), minlength=4).double()
    assert counts[3] == 0
    assert abs(chi_square_score(counts[:3], N * torch.softmax(logits.double(), 0)[:3])) < 4.5


def test_categorical_draws_along_any_axis_and_repeats():
    logits = 1e6 * torch.nn.functional.one_hot(torch.tensor([[0, 2, 1], [1, 1, 0]]), 3).float()
    key = random.key(0)
    assert random.categorical(key, logits).tolist() == [[0, 2, 1], [1, 1, 0]]
    assert random.categorical(key, logits.movedim(-1, 0), dim=0).tolist() == [[0, 2, 1], [1, 1, 0]]
    assert random.categorical(key, logits.movedim(-1, 1), dim=-2).tolist() == [[0, 2, 1], [1, 1, 0]]
    assert random.categorical(key, logits, shape=(5, 2, 3)).tolist() == [[[0, 2, 1], [1, 1, 0]]] * 5
    flat = random.categorical(key, torch.zeros(1, 6), shape=(N,))
    assert flat.shape == (N,)
    assert len(flat.unique()) == 6


KEY = random.key(0)


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (ValueError, r"uniform: low=1.0 and high=1.0, expected", lambda: random.uniform(KEY, low=1.0)),
        (ValueError, r"uniform: low=0.0 and high=inf", lambda: random.uniform(KEY, high=math.inf)),
        (
            TypeError,
            r"uniform: dtype=torch.int32, expected one of float32",
            lambda: random.uniform(KEY, dtype=torch.int32),
        ),
        (ValueError, r"normal: std=-1.0, expected a standard deviation", lambda: random.normal(KEY, std=-1.0)),
        (
            ValueError,
            r"truncated_normal: lower=2.0 and upper=1.0, expected lower < upper",
            lambda: random.truncated_normal(KEY, lower=2.0, upper=1.0),
        ),
        (ValueError, r"bernoulli: p=1.5, expected a probability in \[0, 1\]", lambda: random.bernoulli(KEY, 1.5)),
        (
            ValueError,
            r"bernoulli: p has shape \(3,\), expected one that broadcasts to shape=\(2,\)",
            lambda: random.bernoulli(KEY, torch.ones(3), (2,)),
        ),
        (ValueError, r"randint: low=3 and high=3, expected low < high", lambda: random.randint(KEY, (), 3, 3)),
        (ValueError, r"randint: .* <= low \+ 2\*\*32", lambda: random.randint(KEY, (), 0, 2**32 + 1)),
        (ValueError, r"do not fit torch.uint8", lambda: random.randint(KEY, (), 0, 257, dtype=torch.uint8)),
        (TypeError, r"randint: dtype=torch.float32", lambda: random.randint(KEY, (), 0, 2, dtype=torch.float32)),
        (ValueError, r"permutation: n=0, expected at least 1", lambda: random.permutation(KEY, 0)),
        (ValueError, r"permutation: x is a 0-dim tensor", lambda: random.permutation(KEY, torch.tensor(3))),
        (ValueError, r"choice: a has n=0 to draw from, expected at least 1", lambda: random.choice(KEY, 0)),
        (ValueError, r"choice: a is a 0-dim tensor", lambda: random.choice(KEY, torch.tensor(3))),
        (
            ValueError,
            r"choice: shape=\(2, 2\) asks for more than n=3 draws; pass replace=True",
            lambda: random.choice(KEY, 3, (2, 2), replace=False),
        ),
        (
            ValueError,
            r"choice: p has shape \(2,\), expected \(3,\)",
            lambda: random.choice(KEY, 3, p=torch.ones(2)),
        ),
        (
            TypeError,
            r"choice: dtype=torch.int64, expected one of float32",
            lambda: random.choice(KEY, 3, p=torch.ones(3, dtype=torch.int64)),
        ),
        (
            ValueError,
            r"categorical: dim=2, expected an axis",
            lambda: random.categorical(KEY, torch.zeros(2, 2), dim=2),
        ),
        (
            ValueError,
            r"categorical: a row of logits has shape \(4,\), expected .* shape=\(3,\)",
            lambda: random.categorical(KEY, torch.zeros(4, 2), shape=(3,)),
        ),
    ],
)
def test_errors_say_what_to_do(error, match, call):
    with pytest.raises(error, match=match):
        call()
