"""Draws: what stands for a shape, a number or a tensor is taken or refused in one sentence; no range is biased."""

import math

import numpy as np
import pytest
import torch

import funcdl as fd
from funcdl import random

KEY = random.key(7)
KEYS = {"philox": KEY, "threefry": random.key(7, impl="threefry2x32")}
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
OF_SHAPE = {
    "bits": random.bits,
    "uniform": random.uniform,
    "uniform of bounds": lambda key, shape: random.uniform(key, shape, low=-2, high=3),
    "normal": random.normal,
    "truncated_normal": lambda key, shape: random.truncated_normal(key, shape, lower=-1, upper=2),
    "truncated_normal, tail": lambda key, shape: random.truncated_normal(key, shape, lower=4, upper=math.inf),
    "gumbel": random.gumbel,
    "exponential": random.exponential,
    "bernoulli": lambda key, shape: random.bernoulli(key, 0.3, shape),
    "bernoulli of a tensor": lambda key, shape: random.bernoulli(key, torch.tensor(0.3), shape),
    "randint": lambda key, shape: random.randint(key, shape, 0, 9),
    "randint, wide": lambda key, shape: random.randint(key, shape, 0, 3 * 2**30),
    "choice": lambda key, shape: random.choice(key, 9, shape),
    "choice, no two": lambda key, shape: random.choice(key, 60, shape, replace=False),
    "choice by weights": lambda key, shape: random.choice(key, 3, shape, p=[1, 2, 3]),
    "categorical": lambda key, shape: random.categorical(key, [0.0, 1.0], shape=shape),
}


@pytest.mark.parametrize("impl", KEYS)
@pytest.mark.parametrize("name", OF_SHAPE)
def test_what_stands_for_a_shape(name, impl):
    draw, key = OF_SHAPE[name], KEYS[impl]
    assert torch.equal(draw(key, 5), draw(key, (5,)))
    assert torch.equal(draw(key, [2, np.int64(3)]), draw(key, torch.Size([2, 3])))
    assert draw(key, ()).shape == ()
    for empty in (0, (0,), (3, 0), (0, 2, 4)):
        assert draw(key, empty).numel() == 0
        assert draw(key, empty).shape == ((0,) if empty == 0 else empty)
    for wrong in (2.0, (2, 1.5), "23", None, True, (2, True), torch.tensor([2, 3]), {2, 3}):
        if wrong is None and name in ("bernoulli", "bernoulli of a tensor", "categorical"):
            continue
        with pytest.raises(TypeError, match=r"^random\.\w+: shape=.*, expected a size or a tuple of them"):
            draw(key, wrong)
    for negative in (-1, (2, -3)):
        with pytest.raises(ValueError, match=r"^random\.\w+: shape=.*, expected sizes of at least 0"):
            draw(key, negative)


def test_lists_where_tensors_stand():
    key = KEY
    assert torch.equal(random.choice(key, [10, 20, 30], (4,)), random.choice(key, torch.tensor([10, 20, 30]), (4,)))
    rows = random.choice(key, [[1.0, 2.0], [3.0, 4.0]], (3,))
    assert (rows.shape, rows.dtype) == ((3, 2), torch.float32)
    assert random.choice(key, np.arange(3) + 5, ()).item() in (5, 6, 7)
    assert random.choice(key, np.int64(3)).item() in (0, 1, 2)
    assert sorted(random.permutation(key, [5, 6, 7]).tolist()) == [5, 6, 7]
    p = torch.tensor([0.2, 0.8])
    assert torch.equal(random.choice(key, 2, (9,), p=[0.2, 0.8]), random.choice(key, 2, (9,), p=p))
    assert torch.equal(random.bernoulli(key, [0.2, 0.8]), random.bernoulli(key, p))
    assert random.bernoulli(key, [0, 1]).tolist() == [False, True]
    assert torch.equal(random.categorical(key, [0.2, 0.8]), random.categorical(key, p))
    shifted = random.normal(key, (2,), mean=[1, 2], std=[0.5, 3])
    assert torch.equal(shifted, random.normal(key, (2,), mean=torch.tensor([1.0, 2.0]), std=torch.tensor([0.5, 3.0])))
    assert torch.equal(
        random.uniform(key, 3, low=torch.tensor(1), high=np.float64(2)), random.uniform(key, 3, low=1, high=2)
    )
    assert torch.equal(random.randint(key, 3, torch.tensor(1), np.int32(9)), random.randint(key, 3, 1, 9))


WRONG = {
    "low": (
        TypeError,
        r"uniform: low=\[0, 1\], expected one number",
        lambda: random.uniform(KEY, 2, low=[0, 1], high=3),
    ),
    "high": (TypeError, r"uniform: high='3', expected one number", lambda: random.uniform(KEY, 2, high="3")),
    "high None": (TypeError, r"uniform: high=None", lambda: random.uniform(KEY, 2, high=None)),
    "high tensor": (TypeError, r"high=a tensor of .*float32", lambda: random.uniform(KEY, 2, high=torch.ones(2))),
    "nan": (ValueError, r"uniform: low=nan", lambda: random.uniform(KEY, 2, low=math.nan)),
    "order": (ValueError, r"uniform: low=3 and high=2", lambda: random.uniform(KEY, 2, low=3, high=2)),
    "lower": (TypeError, r"truncated_normal: lower=\[1\]", lambda: random.truncated_normal(KEY, lower=[1], upper=2)),
    "lower nan": (ValueError, r"lower=nan", lambda: random.truncated_normal(KEY, lower=math.nan, upper=2)),
    "beyond": (
        ValueError,
        r"lower=1e\+39 .* beyond the range of torch.float32",
        lambda: random.truncated_normal(KEY, lower=1e39, upper=2e39),
    ),
    "std list": (ValueError, r"normal: std has -1, expected standard", lambda: random.normal(KEY, 2, std=[1, -1])),
    "std nan": (ValueError, r"normal: std has nan", lambda: random.normal(KEY, 2, std=torch.tensor([1, math.nan]))),
    "std text": (TypeError, r"normal: std='1', expected a tensor or a list", lambda: random.normal(KEY, 2, std="1")),
    "mean ragged": (TypeError, r"normal: mean=\[1, \[2\]\]", lambda: random.normal(KEY, 2, mean=[1, [2]])),
    "std wide": (ValueError, r"std has shape \(3,\), .*shape=\(\)", lambda: random.normal(KEY, std=torch.ones(3))),
    "mean wide": (ValueError, r"mean has shape \(3,\), .*shape=\(1,\)", lambda: random.normal(KEY, 1, mean=[1, 2, 3])),
    "p list": (ValueError, r"bernoulli: p has 1\.5, expected probabilities", lambda: random.bernoulli(KEY, [0.5, 1.5])),
    "p nan": (ValueError, r"bernoulli: p has nan", lambda: random.bernoulli(KEY, torch.tensor([math.nan]))),
    "p of nan": (ValueError, r"bernoulli: p=nan", lambda: random.bernoulli(KEY, math.nan)),
    "p negative": (ValueError, r"bernoulli: p has -0\.1", lambda: random.bernoulli(KEY, torch.tensor([0.1, -0.1]))),
    "p whole": (TypeError, r"bernoulli: dtype=torch.int64", lambda: random.bernoulli(KEY, torch.tensor([0, 1]))),
    "p text": (TypeError, r"bernoulli: p='x', expected one number", lambda: random.bernoulli(KEY, "x")),
    "randint low": (TypeError, r"randint: low=0\.5, expected an int", lambda: random.randint(KEY, 2, 0.5, 3)),
    "randint high": (TypeError, r"randint: high=\[3\]", lambda: random.randint(KEY, 2, 0, [3])),
    "randint bool": (TypeError, r"randint: high=True", lambda: random.randint(KEY, 2, 0, True)),
    "randint dtype": (TypeError, r"randint: dtype=<class 'int'>", lambda: random.randint(KEY, 2, 0, 3, dtype=int)),
    "dtype text": (TypeError, r"uniform: dtype='float32'", lambda: random.uniform(KEY, 2, dtype="float32")),
    "dtype class": (TypeError, r"normal: dtype=<class 'float'>", lambda: random.normal(KEY, 2, dtype=float)),
    "weight nan": (ValueError, r"choice: p has nan, expected finite", lambda: random.choice(KEY, 2, p=[1, math.nan])),
    "weight negative": (ValueError, r"choice: p has -1", lambda: random.choice(KEY, 2, p=torch.tensor([2.0, -1.0]))),
    "weight inf": (ValueError, r"choice: p has inf", lambda: random.choice(KEY, 2, p=[1, math.inf])),
    "no weight": (ValueError, r"p has 0 weights above 0, expected 1", lambda: random.choice(KEY, 2, p=[0, 0])),
    "few weights": (
        ValueError,
        r"choice: p has 2 weights above 0, expected 3 or more",
        lambda: random.choice(KEY, 4, (3,), replace=False, p=[0, 1, 1, 0]),
    ),
    "choice float": (TypeError, r"choice: a=2\.0, expected an int", lambda: random.choice(KEY, 2.0)),
    "choice ragged": (TypeError, r"choice: a=\[1, \[2\]\]", lambda: random.choice(KEY, [1, [2]])),
    "permutation float": (TypeError, r"permutation: x=5\.0", lambda: random.permutation(KEY, 5.0)),
    "permutation bool": (TypeError, r"permutation: x=True", lambda: random.permutation(KEY, True)),
    "logits nan": (ValueError, r"logits has nan, expected", lambda: random.categorical(KEY, [0, math.nan])),
    "logits inf": (ValueError, r"logits has inf", lambda: random.categorical(KEY, torch.tensor([math.inf, 0]))),
    "logits excluded": (ValueError, r"all -inf in a row", lambda: random.categorical(KEY, [[0.0], [-math.inf]])),
    "logits whole": (
        TypeError,
        r"categorical: dtype=torch.int64",
        lambda: random.categorical(KEY, torch.ones(2).long()),
    ),
    "no category": (
        ValueError,
        r"shape \(2, 0\), expected a category",
        lambda: random.categorical(KEY, torch.zeros(2, 0)),
    ),
    "dim": (TypeError, r"categorical: dim=0\.0", lambda: random.categorical(KEY, torch.zeros(2), dim=0.0)),
    "fold float": (TypeError, r"fold_in: data=1\.5, expected an int", lambda: random.fold_in(KEY, 1.5)),
    "fold text": (TypeError, r"fold_in: data='1'", lambda: random.fold_in(KEY, "1")),
    "fold float tensor": (ValueError, r"fold_in: data is a tensor", lambda: random.fold_in(KEY, torch.tensor(1.5))),
    "split negative": (ValueError, r"split: num is -1", lambda: random.split(KEY, -1)),
    "split float": (TypeError, r"split: num=2\.5, expected an int", lambda: random.split(KEY, 2.5)),
    "split text": (TypeError, r"split: num='2'", lambda: random.split(KEY, "2")),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_in_one_sentence(case):
    error, match, call = WRONG[case]
    with pytest.raises(error, match=match) as caught:
        call()
    assert str(caught.value).startswith("random.")
    assert "\n" not in str(caught.value)


NO_KEYS = (
    5,
    None,
    [0, 7],
    torch.zeros(2),
    torch.zeros(2, dtype=torch.int64),
    torch.zeros(3, dtype=torch.uint64),
    np.zeros(2),
)


@pytest.mark.parametrize("key", NO_KEYS, ids=str)
def test_what_is_no_key(key):
    calls = [lambda key, draw=draw: draw(key, (2,)) for draw in OF_SHAPE.values()]
    calls += [random.split, lambda key: random.fold_in(key, 1), lambda key: random.permutation(key, 3)]
    calls += [lambda key: random.bernoulli(key, [0.5]), lambda key: random.normal(key, 2, mean=[1, 2])]
    for call in calls:
        with pytest.raises(
            TypeError, match=r"^random: the key is .*, expected a uint64 or int32 tensor of shape \(2,\)"
        ):
            call(key)


def test_values_are_not_looked_at_where_they_are_not_known():
    draws = torch.func.vmap(lambda key, p: random.choice(key, 3, (4,), p=p), in_dims=(0, 0))(
        random.split(KEY, 2), torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
    )
    assert draws.tolist() == [[1] * 4, [2] * 4]
    with pytest.raises(ValueError, match="choice: p has nan"):  # is the same for all
        torch.func.vmap(lambda key: random.choice(key, 2, p=torch.tensor([1, math.nan])))(random.split(KEY, 2))
    shapes = fd.eval_shape(lambda key, p: random.bernoulli(key, p), KEY, torch.tensor([0.5, 2.0]))
    assert shapes.shape == (2,)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("impl", KEYS)
def test_uniform_between_bounds_that_are_far_apart(dtype, impl):
    most = torch.finfo(dtype).max
    for low, high in ((-most, most), (-most / 3, most), (-most, 0.9 * most), (-most, most / 1e9)):
        draws = random.uniform(KEYS[impl], 4096, low=low, high=high, dtype=dtype)
        assert draws.isfinite().all()
        assert (draws < high).all()
        assert (draws >= low).all()
        unit = (draws.double() / 2 - low / 2) / (high / 2 - low / 2)
        assert abs(unit.mean() - 0.5) < 5 * math.sqrt(1 / 12 / 4096)
        assert abs((unit > 0.9).double().mean() - 0.1) < 5 * math.sqrt(0.09 / 4096)


@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform_never_returns_the_bound_above(dtype):
    eps = torch.finfo(dtype).eps
    pairs = [
        (1.0, 1 + eps),
        (1.0, 1 + 3 * eps),
        (2.0 - eps, 2.0),
        (-1 - 2 * eps, -1.0),
        (-eps, 0.0),
        (1024.0, 1024 * (1 + 2 * eps)),
    ]
    for low, high in (*pairs, (0.1, 0.7), (-3.0, -0.1), (0.0, 3.0), (-1e-3, 1e-3)):
        draws = random.uniform(KEY, 1 << 14, low=low, high=high, dtype=dtype)
        assert (draws < torch.tensor(high, dtype=dtype)).all()
        assert (draws >= torch.tensor(low, dtype=dtype)).all()
    for low, high in ((1.0, 1 + eps / 8), (-1 - eps / 64, -1.0), (0.0, torch.finfo(dtype).smallest_normal * eps / 8)):
        if low < high:
            with pytest.raises(ValueError, match=rf"uniform: .* are not two numbers of {dtype}; pass a wider one"):
                random.uniform(KEY, 2, low=low, high=high, dtype=dtype)
    if dtype != torch.float64:
        with pytest.raises(ValueError, match="not two numbers"):
            random.uniform(KEY, 2, high=1e39, dtype=dtype)


def test_uniform_keeps_its_bits_where_they_were_right():
    low, high = torch.tensor(-0.3), torch.tensor(1.7)
    expected = torch.maximum(low, random.uniform(KEY, 1000) * (high - low) + low)
    assert torch.equal(random.uniform(KEY, 1000, low=-0.3, high=1.7), expected)


# ---------------------------------------------------------------- randint


def thirds(n, low, **options):
    """The shares of the three thirds of a range in many draws."""
    draws = random.randint(KEY, 1 << 16, low, low + n, **options)
    return [(((draws - low) * 3).div(n, rounding_mode="floor") == third).double().mean().item() for third in range(3)]


@pytest.mark.parametrize("n", [3 * 2**30, 2**32 - 1, 2**31 + 1, 2**31 + 2**30, 1_500_000_001, 1_000_003, 2**16 + 1])
@pytest.mark.parametrize("low", [0, -(2**31), 2**62])
def test_randint_is_unbiased_over_wide_ranges(n, low):
    if n == 2**32 - 1 or n > 2**31:
        for share in thirds(n, low):
            assert abs(share - 1 / 3) < 5 * math.sqrt(2 / 9 / 2**16)
    words = [[word % 2**32 for word in random.bits(each, 500).tolist()] for each in random.split(KEY)]
    rest = 2**32 % n
    expected = [
        low + (w % n if w < 2**32 - rest else (h * rest + w - (2**32 - rest)) % n) for h, w in zip(*words, strict=True)
    ]
    assert random.randint(KEY, 500, low, low + n).tolist() == expected


def test_randint_keeps_jaxs_bits_for_threefry_and_its_own_for_powers_of_two():
    n = 3 * 2**30
    for name, key in KEYS.items():
        word = random.bits(random.split(key)[1], 400).long() % 2**32
        assert torch.equal(random.randint(key, 400, 0, 2**20), word % 2**20)
        assert torch.equal(random.randint(key, 400, 0, 2**32), word)
        assert torch.equal(random.randint(key, 400, 0, n), word % n) == (name == "threefry")
        kept = word < 2**32 - 2**32 % 100_000
        assert torch.equal(random.randint(key, 400, 0, 100_000)[kept], word[kept] % 100_000)


def test_randint_at_the_ends_of_its_dtypes():
    for dtype in (torch.int64, torch.uint64, torch.uint32, torch.int32, torch.uint8, torch.int8):
        limits = torch.iinfo(dtype)
        for low in (limits.min, limits.max - 99):
            draws = random.randint(KEY, 2000, low, low + 100, dtype=dtype).tolist()
            assert (min(draws), max(draws)) == (low, low + 99)
    with pytest.raises(ValueError, match=r"do not fit torch\.int64"):
        random.randint(KEY, 2, 2**63 - 1, 2**63 + 1)
    with pytest.raises(ValueError, match=r"expected low < high <= low \+ 2\*\*32"):
        random.randint(KEY, 2, 0, 2**63)


# ---------------------------------------------------------------- the normal distribution's tail

TAILS = [(5, 1e6), (3, 3.5), (3, math.inf), (4, 4.0001), (8, 9), (-6, -5), (-math.inf, -10), (20, 21), (40, math.inf)]
TAILS += [(100.0, 100.001), (1e4, 1e5), (1e6, math.inf), (-1e30, -1e12)]


@pytest.mark.parametrize(("lower", "upper"), TAILS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_normal_distributions_tail(lower, upper, dtype):
    n = 20_000
    draws = random.truncated_normal(KEY, n, lower=lower, upper=upper, dtype=dtype)
    assert draws.dtype == dtype
    bounds = torch.tensor([lower, upper], dtype=dtype)
    assert (draws >= bounds[0]).all()
    assert (draws <= bounds[1]).all()
    near, far = (lower, upper) if lower > 0 else (-upper, -lower)
    x = draws.double().abs().sort().values
    spacing = float(torch.finfo(dtype).eps * near * near)  # of the exponent, by which the last bit of x changes it
    if spacing > 1e-2:
        return  # the dtype has few numbers where the distribution is
    shares = (
        1 - beyond(x, near) if far == math.inf else (1 - beyond(x, near)) / (1 - beyond(torch.tensor(float(far)), near))
    )
    steps = torch.arange(n + 1) / n
    distance = max((shares - steps[:-1]).max(), (steps[1:] - shares).max())
    assert math.sqrt(n) * distance < 2.2 + spacing * math.sqrt(n)
    if spacing < 1e-6 and far - near > 0.1:
        assert len(x.unique()) > 0.95 * n


def beyond(x, near):
    """P(X > x) / P(X > near), by continued fractions in float64: not as the library has it."""
    x = x.double()

    def tail(x):  # Mills' ratio, P(X > x) / density(x)
        ratio = x.clone()
        for k in range(400, 0, -1):
            ratio = x + k / ratio
        return 1 / ratio

    near = torch.tensor(float(near), dtype=torch.float64)
    return torch.exp((near - x) * (near + x) / 2) * tail(x) / tail(near)


def test_the_tail_is_exact_to_the_last_bits_and_the_middle_has_its_old_bits():
    u = random.uniform(KEY, 2000, dtype=torch.float64)
    for near in (3.0, 5.0, 12.0, 50.0):
        x = random.truncated_normal(KEY, 2000, lower=near, upper=math.inf, dtype=torch.float64)
        torch.testing.assert_close(beyond(x, near), 1 - u, rtol=1e-11, atol=0)
    low, high = math.erf(-2 / math.sqrt(2)), math.erf(2.5 / math.sqrt(2))
    middle = torch.erfinv(random.uniform(KEY, 2000, low=low, high=high)) * math.sqrt(2)
    assert torch.equal(random.truncated_normal(KEY, 2000, lower=-2, upper=2.5), middle.clamp(-2, 2.5))
    mirrored = random.truncated_normal(KEY, 50, lower=-9, upper=-4)
    assert torch.equal(mirrored, -random.truncated_normal(KEY, 50, lower=4, upper=9))


def test_weights_whose_sum_is_beyond_the_dtype():
    for p in ([3e38] * 3, [1e38, 3e38, 3e38, 3e38]):
        counts = random.choice(KEY, len(p), (1 << 14,), p=p).bincount(minlength=len(p)) / 2**14
        assert ((counts - torch.tensor(p).double() / sum(p)).abs() < 0.02).all()


def draw_everything(key, p):
    return (
        random.randint(key, (64,), -5, 3 * 2**30),
        random.randint(key, (64,), 0, 1_000_003),
        random.uniform(key, (64,), low=-3e38, high=3e38),
        random.uniform(key, (64,), low=0.1, high=0.7),
        random.bernoulli(key, p),
        random.truncated_normal(key, (64,), lower=5, upper=1e6, dtype=torch.float64),
        random.choice(key, 3, (8,), p=p),
    )


def test_the_new_draws_are_the_same_compiled_and_vmapped():
    p = torch.tensor([0.2, 0.5, 0.3])
    keys = random.split(KEY, 3)
    eager = [torch.stack(drawn) for drawn in zip(*(draw_everything(key, p) for key in keys), strict=True)]
    vmapped = fd.vmap(draw_everything, in_dims=(0, None))(keys, p)
    compiled = fd.jit(fd.vmap(draw_everything, in_dims=(0, None)))(keys, p)
    for other in (vmapped, compiled):
        for index, (expected, drawn) in enumerate(zip(eager, other, strict=True)):
            if index == 5:
                torch.testing.assert_close(drawn, expected, rtol=1e-14, atol=0)
            else:
                assert torch.equal(drawn, expected)
