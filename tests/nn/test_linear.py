import pytest
import torch

from funcdl import nn, random
from funcdl.nn import initializers


def test_default_distribution():
    params, _ = nn.linear(3000).init(random.key(0), torch.empty(1, 25, dtype=torch.float64))
    for leaf in params.values():
        scaled = leaf.flatten() * 5  # U(-1, 1): mean 0, variance 1/3, fourth moment 1/5
        n = scaled.numel()
        assert scaled.abs().max() <= 1
        assert scaled.abs().max() > 1 - 20 / n
        assert abs(scaled.mean()) < 5 * (1 / 3 / n) ** 0.5
        assert abs((scaled**2).mean() - 1 / 3) < 5 * (4 / 45 / n) ** 0.5
        assert abs((scaled**4).mean() - 1 / 5) < 5 * (16 / 225 / n) ** 0.5


def test_weight_and_bias_are_independent():
    params, _ = nn.linear(10_000).init(random.key(0), torch.empty(1, 1, dtype=torch.float64))
    assert abs((params["weight"][:, 0] * params["bias"]).mean()) < 5 / 3 / 10_000**0.5


def test_initializers_are_used():
    layer = nn.linear(
        4,
        weight_init=lambda key, shape, dtype: random.normal(key, shape, std=0.01, dtype=dtype),
        bias_init=initializers.zeros,
    )
    params, _ = layer.init(random.key(0), torch.empty(1, 1000))
    assert not params["bias"].any()
    assert abs(params["weight"].std().item() - 0.01) < 0.001


def test_no_input_features():
    params, _ = nn.linear(4).init(random.key(0), torch.empty(2, 0))
    assert torch.equal(nn.linear(4)(params, torch.empty(2, 0)), torch.zeros(2, 4))  # as in torch: no inputs, no bias


def test_wrong_inputs():
    layer = nn.linear(4)
    params, _ = layer.init(random.key(0), torch.empty(1, 3))
    with pytest.raises(ValueError, match=r"linear\(4\): expected \(\.\.\., 3\), as in init\(\), got shape \(2, 5\)"):
        layer(params, torch.ones(2, 5))
    with pytest.raises(ValueError, match=r"linear\(4\): expected \(\.\.\., 3\), as in init\(\), got shape \(\)"):
        layer(params, torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"linear\(4\): expected \(\.\.\., in_features\), got shape \(\)"):
        layer.init(random.key(0), torch.tensor(1.0))
    with pytest.raises(
        TypeError, match=r"linear\(4\): expected an input of .* torch.float32, got torch.int64; convert"
    ):
        layer(params, torch.ones(2, 3, dtype=torch.int64))
    with pytest.raises(KeyError, match="bias"):
        layer({"weight": params["weight"]}, torch.ones(2, 3))


def test_autocast_converts(device):
    layer = nn.serial(nn.linear(4), nn.linear(5))
    params, _ = layer.init(random.key(0, device=device), torch.empty(1, 3))
    with torch.autocast(device.type, dtype=torch.bfloat16):
        assert layer(params, torch.ones(2, 3, device=device)).dtype == torch.bfloat16


def test_default_distribution_of_bilinear():
    x = torch.empty(1, 25, dtype=torch.float64), torch.empty(1, 4, dtype=torch.float64)
    params, _ = nn.bilinear(3000).init(random.key(0), x)
    assert params["weight"].shape == (3000, 25, 4)
    for leaf in params.values():
        scaled = leaf.flatten() * 5  # U(-1, 1): in1_features alone sets the bound
        n = scaled.numel()
        assert 1 - 20 / n < scaled.abs().max() <= 1
        assert abs(scaled.mean()) < 5 * (1 / 3 / n) ** 0.5
        assert abs((scaled**2).mean() - 1 / 3) < 5 * (4 / 45 / n) ** 0.5


def test_initializers_of_bilinear_are_used():
    layer = nn.bilinear(2, weight_init=initializers.ones, bias_init=initializers.ones)
    x = torch.ones(1, 3), torch.ones(1, 4)
    params, _ = layer.init(random.key(0), x)
    assert layer(params, x).tolist() == [[13.0, 13.0]]


def test_wrong_inputs_of_bilinear():
    layer = nn.bilinear(4)
    params, _ = layer.init(random.key(0), (torch.empty(1, 3), torch.empty(1, 2)))
    with pytest.raises(
        ValueError, match=r"^bilinear\(4\): expected \(\.\.\., 3\) and \(\.\.\., 2\), as in init\(\), got shapes"
    ):
        layer(params, (torch.ones(1, 2), torch.ones(1, 3)))
    for x in ((torch.ones(2, 3), torch.ones(1, 2)), (torch.ones(3),), (torch.ones(()), torch.ones(()))):
        with pytest.raises(ValueError, match=r"^bilinear\(4\): expected a tuple of \(\.\.\., in1_features\) and"):
            layer(params, x)
    with pytest.raises(TypeError, match=r"^bilinear\(4\): expected .* torch.float32, got torch.float64; convert"):
        layer(params, (torch.ones(1, 3), torch.ones(1, 2).double()))
