import pytest
import torch

from funcdl import nn, random

KEY = random.key(0)
CONVOLUTIONS = [nn.conv1d, nn.conv2d, nn.conv3d]


def ones(key, shape, dtype):
    return torch.ones(shape, dtype=dtype)


@pytest.mark.parametrize("constructor", CONVOLUTIONS)
def test_default_distribution(constructor):
    rank = CONVOLUTIONS.index(constructor) + 1
    kernel = (5, 3, 1)[:rank]
    params, _ = constructor(4000, kernel, groups=4).init(KEY, torch.empty(8, *(9,) * rank, dtype=torch.float64))
    assert params["weight"].shape == (4000, 2, *kernel)
    for leaf in params.values():
        scaled = leaf.flatten() * params["weight"][0].numel() ** 0.5  # fan_in is the size of one kernel
        n = scaled.numel()
        assert 1 - 20 / n < scaled.abs().max() <= 1
        assert abs(scaled.mean()) < 5 * (1 / 3 / n) ** 0.5
        assert abs((scaled**2).mean() - 1 / 3) < 5 * (4 / 45 / n) ** 0.5


@pytest.mark.parametrize("constructor", CONVOLUTIONS)
def test_initializers_are_used(constructor):
    rank = CONVOLUTIONS.index(constructor) + 1
    layer = constructor(1, 2, weight_init=ones, bias_init=ones)
    x = torch.ones(1, *(2,) * rank)
    params, _ = layer.init(KEY, x)
    assert layer(params, x).item() == 2**rank + 1


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 5), r"expected \(batch, channels, height, width\) or \(channels, height, width\), got shape \(3, 5\)"),
        ((1, 2, 3, 9, 9), r"expected \(batch, channels, .*got shape \(1, 2, 3, 9, 9\)"),
        ((1, 3, 9, 9), r"expected 4 channels, got shape \(1, 3, 9, 9\)"),
        ((1, 4, 9, 2), r"expected a padded image of at least \(3, 5\), the extent of the kernel, .*\(1, 4, 9, 2\)"),
    ],
)
def test_wrong_inputs(shape, message):
    layer = nn.conv2d(16, kernel_size=3, padding=(0, 1), dilation=(1, 2))
    params, _ = layer.init(KEY, torch.empty(1, 4, 9, 9))
    with pytest.raises(ValueError, match=r"^conv2d\(16, kernel_size=3\): " + message):
        layer(params, torch.zeros(shape))


def test_axes_are_named_by_rank():
    with pytest.raises(ValueError, match=r"^conv1d\(2, kernel_size=3\): expected \(batch, channels, length\) or \(ch"):
        nn.conv1d(2, 3).init(KEY, torch.empty(9))
    with pytest.raises(ValueError, match=r"^conv3d\(2, kernel_size=3\): expected \(batch, channels, depth, height, wi"):
        nn.conv3d(2, 3).init(KEY, torch.empty(4, 9, 9))


def test_wrong_dtype():
    layer = nn.conv2d(2, 3)
    params, _ = layer.init(KEY, torch.empty(1, 9, 9, dtype=torch.uint8))
    with pytest.raises(
        TypeError, match=r"conv2d\(2, kernel_size=3\): expected .* torch.float32, got torch.uint8; conv"
    ):
        layer(params, torch.zeros(1, 9, 9, dtype=torch.uint8))


def test_padding_that_the_mode_cannot_fill():
    layer = nn.conv2d(2, 3, padding=(0, 4), padding_mode="reflect")
    params, _ = layer.init(KEY, torch.empty(1, 9, 9))
    with pytest.raises(
        ValueError, match=r"^conv2d\(2, kernel_size=3\): .* smaller than the size of its axis, got \(4, 4\) for size 4"
    ):
        layer(params, torch.zeros(1, 9, 4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.conv2d(4, (3, 3, 3)), r"expected an int or 2 of them for kernel_size, got \(3, 3, 3\)"),
        (lambda: nn.conv2d(4, 3, stride=0), "expected kernel_size, stride, dilation and groups of at least 1"),
        (lambda: nn.conv2d(4, 3, 2, "same"), 'expected stride=1 with padding="same", got stride=2'),
        (lambda: nn.conv2d(4, 3, padding="full"), 'expected padding as ints, "same" or "valid", got \'full\''),
        (lambda: nn.conv2d(4, 3, padding=-1), "expected padding of at least 0, got -1"),
        (lambda: nn.conv2d(4, 3, padding_mode="mirror"), "expected padding_mode zeros, .*, got 'mirror'"),
        (lambda: nn.conv2d(4, 3, groups=3), "expected out_channels divisible by groups=3, got 4"),
        (
            lambda: nn.conv2d(4, 3, groups=2).init(KEY, torch.empty(3, 9, 9)),
            "expected a number of channels divisible by groups=2, got 3",
        ),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=r"conv2d\(4, kernel_size=.*\): " + message):
        make()
