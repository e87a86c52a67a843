import pytest
import torch

from funcdl import nn, random, transforms

KEY = random.key(4)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
def test_shares_and_scale(p, device):
    n = 200_000
    y = nn.dropout(p)({}, torch.full((n,), 3.0, device=device), key=random.key(4, device=device), train=True)
    dropped = y == 0
    assert abs(dropped.double().mean().item() - p) < 5 * (p * (1 - p) / n) ** 0.5
    torch.testing.assert_close(y[~dropped], torch.full_like(y[~dropped], 3 / (1 - p)))


def test_the_scale_is_exact_in_float64():
    y = nn.dropout(0.3)({}, torch.ones(100, dtype=torch.float64), key=KEY, train=True)
    assert set(y.tolist()) == {0.0, 1 / (1 - 0.3)}


@pytest.mark.parametrize("constructor", [nn.dropout, nn.dropout2d])
def test_the_ends_of_the_range(constructor):
    x = torch.ones(2, 3, 4, 4, requires_grad=True)
    assert constructor(0)({}, x, train=True) is x  # no key needed: nothing is drawn
    y = constructor(1)({}, x, key=KEY, train=True)
    assert not y.any()
    assert not torch.autograd.grad(y.sum(), x)[0].any()
    assert constructor()({}, x) is x


@pytest.mark.parametrize("shape", [(40, 30, 5, 4), (300, 5, 4)])
def test_dropout2d_drops_whole_channels(shape):
    y = nn.dropout2d(0.25)({}, torch.ones(shape), key=KEY, train=True)
    assert (y == y[..., :1, :1]).all()
    channels = y[..., 0, 0].flatten()
    share = (channels == 0).double().mean().item()
    assert abs(share - 0.25) < 5 * (0.25 * 0.75 / channels.numel()) ** 0.5
    if len(shape) == 4:
        assert len({tuple(row) for row in y[:, :, 0, 0].tolist()}) > 1  # samples differ


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


@pytest.mark.parametrize("constructor", [nn.dropout, nn.dropout2d])
def test_training_without_a_key(constructor):
    name = constructor.__name__
    with pytest.raises(ValueError, match=rf"^{name}\(p=0.5\): train=True needs a key; pass key=random\.key\(seed\) to"):
        constructor()({}, torch.ones(2, 3), train=True)
    with pytest.raises(ValueError, match="needs a key") as caught:
        nn.serial(nn.relu(), constructor())({}, torch.ones(2, 3), train=True)
    assert caught.value.__notes__ == ["in slot 1"]


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"dropout\(p=1.5\): expected a probability from 0 to 1"):
        nn.dropout(1.5)
    with pytest.raises(ValueError, match=r"dropout2d\(p=0.5\): expected .*, got shape \(3,\); dropout\(\) takes any"):
        nn.dropout2d()({}, torch.ones(3), key=KEY, train=True)
