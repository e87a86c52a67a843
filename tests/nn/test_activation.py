"""What the batteries do not ask of activations: what is learned or drawn, and errors."""

import pytest
import torch

from funcdl import nn, random, transforms, tree

KEY = random.key(3)


def test_the_slope_of_prelu(device):
    key = random.key(3, device=device)
    for dtype, expected in ((torch.float64, torch.float64), (torch.uint8, torch.get_default_dtype())):
        params, buffers = nn.prelu(3, init=0.7).init(key, torch.empty(2, 3, dtype=dtype, device="meta"))
        torch.testing.assert_close(params, {"weight": torch.full((3,), 0.7, dtype=expected, device=device)})
        assert buffers == {}


def test_rrelu_draws_a_slope_for_each_negative_element(device):
    n, lower, upper = 100_000, 0.1, 0.5
    x = random.normal(random.key(1, device=device), (n,), dtype=torch.float64)
    layer = nn.rrelu(lower, upper)

    def f(x):
        y = layer({}, x, key=random.key(3, device=device), train=True)
        return y.sum(), y

    slope, y = transforms.grad(f, has_aux=True)(x)
    torch.testing.assert_close(y, x * slope)
    assert (slope[x > 0] == 1).all()
    unit = (slope[x <= 0] - lower) / (upper - lower)
    assert unit.min() >= 0
    assert unit.max() < 1
    assert len(unit.unique()) == len(unit)
    assert abs(unit.mean() - 1 / 2) < 5 * (1 / 12 / len(unit)) ** 0.5
    assert abs((unit**2).mean() - 1 / 3) < 5 * (4 / 45 / len(unit)) ** 0.5
    assert torch.equal(layer({}, x), torch.where(x > 0, x, x * 0.3))


def test_rrelu_at_zero_and_with_one_slope():
    layer = nn.rrelu(0.25, 0.25)
    x = torch.tensor([-4.0, 0.0, 2.0])
    assert layer({}, x, train=True).tolist() == [-1, 0, 2]  # nothing to draw
    (gradient,) = torch.func.vjp(lambda x: nn.rrelu()({}, x, key=KEY, train=True), x)[1](torch.ones(3))
    assert 1 / 8 <= gradient[1] < 1 / 3  # as in torch


def test_rrelu_under_vmap():
    x, keys = -torch.ones(3, 5), random.split(KEY, 3)

    def f(x, key):
        return nn.rrelu()({}, x, key=key, train=True)

    each = transforms.vmap(f)(x, keys)
    assert torch.equal(each, torch.stack([f(row, key) for row, key in zip(x, keys, strict=True)]))
    assert len(each.unique()) == 15


def test_rrelu_in_bfloat16_stays_below_the_upper_slope():
    y = nn.rrelu(0.0, 1.0)({}, -torch.ones(10_000, dtype=torch.bfloat16), key=KEY, train=True)
    assert y.dtype == torch.bfloat16
    assert (y > -1).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.rrelu(0.5, 0.1), r"rrelu\(0\.5, 0\.1\): expected lower <= upper"),
        (
            lambda: nn.rrelu()({}, torch.ones(2), train=True),
            r"rrelu\(0\.125, 0\.333\d*\): train=True needs a key; pass key=random\.key\(seed\) to apply\(\)",
        ),
        (lambda: nn.prelu(0), r"prelu\(0\): expected at least 1 parameter"),
        (
            lambda: nn.prelu(3).init(KEY, torch.ones(2, 4)),
            r"prelu\(3\): expected \(batch, 3, \.\.\.\), got shape \(2, 4\)",
        ),
        (lambda: nn.prelu(3)({"weight": torch.ones(3)}, torch.ones(3)), r"prelu\(3\): expected .*, got shape \(3,\)"),
        (lambda: nn.hardtanh(1.0, -1.0), r"hardtanh\(1\.0, -1\.0\): expected min_val < max_val"),
        (lambda: nn.softshrink(-1.0), r"softshrink\(-1\.0\): expected lambd of at least 0"),
        (lambda: nn.celu(0), r"celu\(0\): expected alpha other than 0"),
        (lambda: nn.gelu("erf"), 'gelu: expected approximate "none" or "tanh", got \'erf\''),
        (lambda: nn.glu()({}, torch.ones(4, 3)), r"glu\(dim=-1\): expected an even size along it, got shape \(4, 3\)"),
        (
            lambda: nn.softmax2d()({}, torch.ones(4, 3)),
            r"softmax2d\(\): expected .*, got shape \(4, 3\); softmax\(dim\)",
        ),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_prelu_of_another_dtype():
    params, _ = nn.prelu().init(KEY, torch.ones(2))
    with pytest.raises(TypeError, match=r"prelu\(1\): expected an input of .* torch.float32, got torch.float64"):
        nn.prelu()(params, torch.ones(2, dtype=torch.float64))


def test_only_prelu_has_parameters():
    names = "relu elu selu gelu silu mish hardtanh hardswish softplus softsign sigmoid log_sigmoid tanh rrelu glu"
    for name in names.split():
        assert tree.leaves(getattr(nn, name)().init(KEY, torch.ones(2))) == []
