import pytest
import torch

from funcdl import nn, random, transforms

KEY = random.key(4)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
def test_fraction_of_zeros_and_scale(p, device):
    n = 200_000
    y = nn.dropout(p)({}, torch.full((n,), 3.0, device=device), key=random.key(4, device=device), train=True)
    dropped = y == 0
    assert abs(dropped.double().mean().item() - p) < 5 * (p * (1 - p) / n) ** 0.5
    torch.testing.assert_close(y[~dropped], torch.full_like(y[~dropped], 3 / (1 - p)))


def test_the_scale_is_exact_in_float64():
    y = nn.dropout(0.3)({}, torch.ones(100, dtype=torch.float64), key=KEY, train=True)
    assert set(y.tolist()) == {0.0, 1 / (1 - 0.3)}


EVERY = (nn.dropout, nn.dropout1d, nn.dropout2d, nn.dropout3d, nn.alpha_dropout, nn.feature_alpha_dropout)
SHAPES = {nn.dropout1d: (2, 3, 4), nn.dropout3d: (2, 3, 4, 4, 4)}


@pytest.mark.parametrize("constructor", EVERY)
def test_probabilities_0_and_1(constructor):
    x = torch.ones(SHAPES.get(constructor, (2, 3, 4, 4)), requires_grad=True)
    assert constructor(0)({}, x, train=True) is x  # no key needed: nothing is drawn
    y = constructor(1)({}, x, key=KEY, train=True)
    assert not y.any()
    assert not torch.autograd.grad(y.sum(), x)[0].any()
    assert constructor()({}, x) is x


@pytest.mark.parametrize(
    ("constructor", "axes", "unbatched"),
    [(nn.dropout1d, 1, True), (nn.dropout2d, 2, True), (nn.dropout3d, 3, True), (nn.feature_alpha_dropout, 2, False)],
)
def test_whole_channels_are_dropped(constructor, axes, unbatched):
    for outer in [(40, 30), (300,)][: 1 + unbatched]:
        shape = (*outer, *(5, 4, 3)[:axes])
        y = constructor(0.25)({}, torch.ones(shape), key=KEY, train=True).flatten(len(outer))
        assert (y == y[..., :1]).all()
        channels = y[..., 0]
        low, high = channels.unique().tolist()
        assert low < 0.5 < high
        share = (channels == low).double().mean().item()
        assert abs(share - 0.25) < 5 * (0.25 * 0.75 / channels.numel()) ** 0.5
        if len(outer) == 2:
            assert len({tuple(row) for row in channels.tolist()}) > 1  # samples differ


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("constructor", [nn.alpha_dropout, nn.feature_alpha_dropout])
def test_alpha_dropout_equals_torchs_formula(constructor, p):
    """In torch: `x * (noise * a) + ((noise - 1) * alpha * a + alpha * a * p)`, with noise 1 where kept."""
    x = random.normal(random.key(1), (200, 30), dtype=torch.float64)
    y = constructor(p)({}, x, key=KEY, train=True)
    noise = (nn.dropout(p)({}, torch.ones(200, 30), key=KEY, train=True) != 0).double()  # the same draws
    alpha = 1.7580993408473766
    a = 1 / ((alpha**2 * p + 1) * (1 - p)) ** 0.5
    torch.testing.assert_close(y, x * noise * a + (noise - 1) * alpha * a + alpha * a * p, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_alpha_dropout_keeps_mean_and_variance_and_selus_limit(p):
    n = 400_000
    x = random.normal(random.key(1), (n,), dtype=torch.float64)
    y = nn.alpha_dropout(p)({}, x, key=KEY, train=True)
    assert abs(y.mean()) < 5 / n**0.5
    assert abs(y.var() - 1) < 0.02
    dropped, times = y.unique(return_counts=True)
    limit = torch.selu(torch.tensor(-100.0, dtype=torch.float64))
    a = 1 / ((1 - p) * (1 + p * limit**2)) ** 0.5
    torch.testing.assert_close(dropped[times.argmax()], a * limit * (1 - p))


def test_dropout2d_of_features_drops_them_one_by_one():
    y = nn.dropout2d(0.5)({}, torch.ones(20, 64), key=KEY, train=True)
    assert (y == nn.dropout(0.5)({}, torch.ones(20, 64), key=KEY, train=True)).all()
    assert 0 < (y == 0).sum() < y.numel()


def test_the_gradient_is_the_mask():
    x = torch.randn(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def f(x):
        return nn.dropout(0.4)({}, x, key=KEY, train=True).sum()

    mask = nn.dropout(0.4)({}, torch.ones(50, dtype=torch.float64), key=KEY, train=True)
    torch.testing.assert_close(transforms.grad(f)(x), mask)


def test_vmap_shares_the_mask_of_a_shared_key_only():
    x = torch.ones(8, 100)

    def f(x, key):
        return nn.dropout()({}, x, key=key, train=True)

    same = transforms.vmap(f, (0, None))(x, KEY)
    assert (same == same[0]).all()
    keys = random.split(KEY, 8)
    own = transforms.vmap(f)(x, keys)
    assert torch.equal(own, torch.stack([f(row, key) for row, key in zip(x, keys, strict=True)]))
    assert len({tuple(row) for row in own.tolist()}) == 8


def test_two_dropouts_in_a_model_drop_differently():
    model = nn.parallel(nn.dropout(), nn.dropout())
    a, b = model({}, torch.ones(100), key=KEY, train=True)
    assert not torch.equal(a, b)


@pytest.mark.parametrize("constructor", EVERY)
def test_training_without_a_key(constructor):
    name = constructor.__name__
    with pytest.raises(ValueError, match=rf"^{name}\(p=0.5\): train=True needs a key; pass key=random\.key\(seed\) to"):
        constructor()({}, torch.ones(2, 3), train=True)
    with pytest.raises(ValueError, match="needs a key") as caught:
        nn.serial(nn.relu(), constructor())({}, torch.ones(2, 3), train=True)
    assert caught.value.__notes__ == ["in layer 1"]


@pytest.mark.parametrize("constructor", EVERY)
@pytest.mark.parametrize("p", [1.5, -0.1, float("nan")])
def test_p_outside_0_to_1(constructor, p):
    with pytest.raises(ValueError, match=rf"^{constructor.__name__}\(p={p}\): expected a probability from 0 to 1"):
        constructor(p)


@pytest.mark.parametrize(
    ("constructor", "shape", "message"),
    [
        (nn.dropout1d, (3,), r"\(batch, channels, length\), \(channels, length\), got shape \(3,\); dropout\(\) takes"),
        (nn.dropout1d, (2, 3, 4, 5), r"\(batch, channels, length\), .* got shape \(2, 3, 4, 5\)"),
        (nn.dropout2d, (3,), r"\(batch, channels, height, width\), .* or \(batch, features\), got shape \(3,\)"),
        (nn.dropout3d, (2, 3, 4), r"\(batch, channels, depth, .*\), .* got shape \(2, 3, 4\)"),
        (nn.feature_alpha_dropout, (3,), r"\(batch, channels, \.\.\.\), got shape \(3,\); alpha_dropout\(\) takes any"),
    ],
)
def test_wrong_ranks(constructor, shape, message):
    with pytest.raises(ValueError, match=rf"{constructor.__name__}\(p=0.5\): expected {message}"):
        constructor()({}, torch.ones(shape), key=KEY, train=True)
