"""Initializers against the formulas of `torch.nn.init`: bounds, moments and structure."""

import inspect
import math

import pytest
import torch

from funcdl import nn, random, transforms
from funcdl.nn import initializers

KEY = random.key(5)
SHAPE = (40, 30, 3, 5)
FAN_IN, FAN_OUT = 30 * 15, 40 * 15

# name: (constructor with its arguments, the half-width of a uniform or None, the standard deviation)
GAIN = math.sqrt(2 / (1 + 0.2**2))
SCALED = {
    "xavier_uniform": ("xavier_uniform", {"gain": 2.0}, 2 * math.sqrt(2 / (FAN_IN + FAN_OUT))),
    "xavier_normal": ("xavier_normal", {"gain": 2.0}, 2 * math.sqrt(2 / (FAN_IN + FAN_OUT))),
    "kaiming_uniform": ("kaiming_uniform", {}, math.sqrt(2 / FAN_IN)),
    "kaiming_uniform_out": ("kaiming_uniform", {"a": 0.2, "mode": "fan_out"}, GAIN / math.sqrt(FAN_OUT)),
    "kaiming_normal": ("kaiming_normal", {"a": 0.2}, GAIN / math.sqrt(FAN_IN)),
    "kaiming_normal_tanh": ("kaiming_normal", {"mode": "fan_out", "nonlinearity": "tanh"}, 5 / 3 / math.sqrt(FAN_OUT)),
    "uniform": ("uniform", {"a": -0.3, "b": 0.3}, 0.3 / math.sqrt(3)),
    "normal": ("normal", {"std": 0.02}, 0.02),
}


def assert_moments(values, mean, std, fourth):
    """Mean, standard deviation and fourth moment (in units of std⁴), within five standard errors."""
    z = (values.flatten().double() - mean) / std
    n = z.numel()
    assert abs(z.mean()) < 5 / n**0.5
    assert abs((z**2).mean() - 1) < 5 * ((fourth - 1) / n) ** 0.5
    assert abs((z**4).mean() - fourth) < 5 * ((z**8).mean() / n) ** 0.5


@pytest.mark.parametrize("case", SCALED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_distributions(case, dtype, device):
    name, options, std = SCALED[case]
    weight = getattr(initializers, name)(**options)(random.key(5, device=device), SHAPE, dtype)
    assert (weight.shape, weight.dtype, weight.device.type) == (SHAPE, dtype, device.type)
    uniform = "uniform" in name
    assert_moments(weight, 0, std, fourth=1.8 if uniform else 3)
    if uniform:
        bound = math.sqrt(3) * std
        assert bound * (1 - 20 / weight.numel()) < weight.abs().max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize("case", SCALED)
def test_distributions_equal_torchs(case):
    """The standard deviation and the bounds of a large draw of `torch.nn.init` itself."""
    name, options, _ = SCALED[case]
    generator = torch.Generator().manual_seed(0)
    theirs = getattr(torch.nn.init, f"{name}_")(torch.empty(SHAPE), generator=generator, **options)
    ours = getattr(initializers, name)(**options)(KEY, SHAPE, torch.float32)
    torch.testing.assert_close(ours.std(), theirs.std(), rtol=0.03, atol=0)
    if "uniform" in name:
        torch.testing.assert_close(ours.abs().max(), theirs.abs().max(), rtol=1e-3, atol=0)


def test_defaults_equal_torchs():
    for name in initializers.__all__:
        theirs = {"identity": "eye_", "truncated_normal": "trunc_normal_", "calculate_gain": name}.get(name, f"{name}_")
        if not hasattr(torch.nn.init, theirs) or name in ("zeros", "ones", "identity", "constant"):
            continue
        expected = inspect.signature(getattr(torch.nn.init, theirs)).parameters.values()
        expected = {p.name: p.default for p in expected if p.name not in ("tensor", "generator")}
        found = inspect.signature(getattr(initializers, name)).parameters.values()
        assert {p.name: p.default for p in found} == expected, name


def test_uniform_and_normal_with_other_mean_and_spread():
    uniform = initializers.uniform(2.0, 5.0)(KEY, (100_000,), torch.float64)
    assert uniform.min() >= 2
    assert uniform.max() < 5
    assert_moments(uniform, 3.5, 3 / math.sqrt(12), 1.8)
    assert_moments(initializers.normal(2.0, 0.5)(KEY, (100_000,), torch.float64), 2, 0.5, 3)


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"), [(0.0, 1.0, -2.0, 2.0), (1.0, 0.5, 0.0, 1.5), (0.0, 0.02, -1.0, 1.0)]
)
def test_truncated_normal(mean, std, a, b):
    weight = initializers.truncated_normal(mean, std, a, b)(KEY, (200_000,), torch.float64)
    assert weight.min() >= a
    assert weight.max() <= b
    low, high = (a - mean) / std, (b - mean) / std
    density = [math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) for z in (low, high)]
    mass = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    shift = (density[0] - density[1]) / mass
    variance = 1 + (low * density[0] - high * density[1]) / mass - shift**2
    standard = (weight - mean) / std
    assert abs(standard.mean() - shift) < 5 * (variance / 200_000) ** 0.5
    assert abs(standard.var() - variance) < 0.02
    half = initializers.truncated_normal(mean, std, a, b)(KEY, (20_000,), torch.bfloat16)
    assert half.min() >= a
    assert half.max() <= b


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 3, 2, 2), (40, 2, 3)])
@pytest.mark.parametrize("gain", [1.0, 1.7])
def test_orthogonal(shape, gain, device):
    weight = initializers.orthogonal(gain)(random.key(5, device=device), shape, torch.float64)
    assert weight.shape == shape
    assert weight.is_contiguous()
    matrix = weight.flatten(1)
    matrix = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    identity = torch.eye(len(matrix), dtype=torch.float64, device=device)
    torch.testing.assert_close(matrix @ matrix.T, gain**2 * identity, rtol=0, atol=1e-12)
    for dtype, accuracy in ((torch.float32, 1e-6), (torch.bfloat16, 0.01)):
        narrow = initializers.orthogonal(gain)(random.key(5, device=device), shape, dtype)
        assert narrow.dtype == dtype
        torch.testing.assert_close(narrow.norm(), weight.norm().to(dtype), rtol=accuracy, atol=0)


def test_orthogonal_matrices_are_uniformly_distributed():
    """Without the correction of signs the first element of Q would always be negative, with LAPACK's reflections."""
    keys = random.split(KEY, 2000)
    matrices = transforms.vmap(lambda key: initializers.orthogonal()(key, (3, 3), torch.float64))(keys)
    each = torch.stack([initializers.orthogonal()(key, (3, 3), torch.float64) for key in keys[:5]])
    torch.testing.assert_close(matrices[:5], each)
    n = len(keys)
    assert (matrices.mean(0).abs() < 5 * (1 / 3 / n) ** 0.5).all()  # each element has mean 0 and variance 1 / 3
    assert ((matrices**2).mean(0) - 1 / 3).abs().max() < 5 * (4 / 45 / n) ** 0.5
    assert abs(torch.linalg.det(matrices).mean()) < 5 / n**0.5


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.95, 1.0])
def test_sparse(sparsity, device):
    weight = initializers.sparse(sparsity, std=0.1)(random.key(5, device=device), (41, 500), torch.float64)
    zeros = math.ceil(sparsity * 41)
    assert ((weight == 0).sum(0) == zeros).all()
    if 0 < zeros < 41:
        share = (weight == 0).double().mean(1)  # of each row: they are chosen alike
        assert (share - zeros / 41).abs().max() < 5 * (zeros / 41 * (1 - zeros / 41) / 500) ** 0.5
    if zeros < 41:
        assert_moments(weight[weight != 0], 0, 0.1, 3)


@pytest.mark.parametrize("shape", [(4, 6, 3), (6, 4, 3, 4), (5, 5, 2, 3, 1), (4, 1, 5)])
@pytest.mark.parametrize("groups", [1, 2])
def test_dirac_and_identity_equal_torchs(shape, groups, device):
    key = random.key(0, device=device)
    shape = (shape[0] * groups, *shape[1:])
    expected = torch.nn.init.dirac_(torch.empty(shape), groups)
    assert torch.equal(initializers.dirac(groups)(key, shape, torch.float32).cpu(), expected)
    expected = torch.nn.init.eye_(torch.empty(shape[:2]))
    assert torch.equal(initializers.identity(key, shape[:2], torch.float32).cpu(), expected)


def test_dirac_passes_a_grouped_image_through():
    x = random.normal(KEY, (2, 4, 9, 8))
    layer = nn.conv2d(4, 3, padding=1, groups=2, weight_init=initializers.dirac(2), bias_init=initializers.zeros)
    assert torch.equal(layer(layer.init(KEY, x)[0], x), x)


def test_gains_equal_torchs():
    names = ["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu", "conv1d", "conv3d", "conv_transpose2d"]
    for name in names:
        assert initializers.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name), rel=1e-15)
    assert initializers.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)
    assert initializers.calculate_gain("leaky_relu", 0) == torch.nn.init.calculate_gain("relu")


ALL = {
    "zeros": initializers.zeros, "ones": initializers.ones, "identity": initializers.identity,
    "constant": initializers.constant(2.5), "uniform": initializers.uniform(), "normal": initializers.normal(),
    "truncated_normal": initializers.truncated_normal(), "xavier_uniform": initializers.xavier_uniform(),
    "xavier_normal": initializers.xavier_normal(), "kaiming_uniform": initializers.kaiming_uniform(),
    "kaiming_normal": initializers.kaiming_normal(), "orthogonal": initializers.orthogonal(),
    "sparse": initializers.sparse(0.3),
}  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_every_initializer_in_a_layer(name, device):
    layer = nn.linear(4, weight_init=ALL[name], bias_init=initializers.constant(1.0))
    keys = random.split(random.key(1, device=device), 3)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        x = torch.empty(2, 6, dtype=dtype, device="meta")
        params, _ = layer.init(keys[0], x)
        assert (params["weight"].shape, params["weight"].dtype) == ((4, 6), dtype)
        assert params["weight"].device.type == device.type
        assert torch.equal(params["weight"], layer.init(keys[0], x)[0]["weight"])
        assert (params["bias"] == 1).all()
        members = transforms.vmap(lambda key, x=x: layer.init(key, x)[0]["weight"])(keys)
        looped = torch.stack([layer.init(key, x)[0]["weight"] for key in keys])
        torch.testing.assert_close(members, looped)


def test_all_are_tested():
    functions = {name for name in initializers.__all__ if name[0].islower() and "weight_and" not in name}
    assert functions == {*ALL, "dirac", "calculate_gain"}


def test_compiled_is_eager(device):
    def everything(key):
        return {name: initializer(key, (4, 6), torch.float64) for name, initializer in ALL.items()}

    key = random.key(1, device=device)
    torch.testing.assert_close(transforms.jit(everything)(key), everything(key))


def test_empty_weights():
    for name, initializer in ALL.items():
        if name != "orthogonal":
            assert initializer(KEY, (4, 0), torch.float32).shape == (4, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: initializers.xavier_uniform()(KEY, (3,), torch.float32), r"xavier_uniform: expected .*got \(3,\)"),
        (lambda: initializers.kaiming_normal()(KEY, (), torch.float32), r"kaiming_normal: expected a shape .*got \(\)"),
        (lambda: initializers.orthogonal()(KEY, (3,), torch.float32), r"orthogonal: expected a shape .*got \(3,\)"),
        (lambda: initializers.sparse(0.5)(KEY, (3, 2, 1), torch.float32), r"sparse\(sparsity=0.5\): .*got \(3, 2, 1\)"),
        (lambda: initializers.sparse(2.0), r"sparse\(sparsity=2.0\): expected a share from 0 to 1"),
        (lambda: initializers.dirac()(KEY, (3, 2), torch.float32), r"dirac\(groups=1\): expected .*got \(3, 2\)"),
        (lambda: initializers.dirac(2)(KEY, (3, 2, 1), torch.float32), r"dirac\(groups=2\): .*divisible.* \(3, 2, 1\)"),
        (lambda: initializers.identity(KEY, (3, 2, 1), torch.float32), r"identity: expected .* got \(3, 2, 1\)"),
        (lambda: initializers.kaiming_uniform(mode="fan"), r"kaiming_uniform: expected mode .*, got 'fan'"),
        (lambda: initializers.kaiming_uniform(nonlinearity="gelu"), r"calculate_gain: expected one of .*, got 'gelu'"),
        (lambda: initializers.truncated_normal(a=1.0, b=1.0), r"truncated_normal\(mean=0.0, .*: expected std > 0"),
        (lambda: initializers.truncated_normal(std=0.0), r"truncated_normal\(mean=0.0, std=0.0, .*expected std > 0"),
        (lambda: initializers.uniform(1.0, 0.0), r"uniform\(1.0, 0.0\): expected finite numbers with a < b"),
        (lambda: initializers.normal(std=-1.0), r"normal\(0.0, -1.0\): expected std of at least 0"),
    ],
)  # fmt: skip
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
