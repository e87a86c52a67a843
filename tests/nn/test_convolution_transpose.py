import pytest
import torch

from funcdl import nn, random, transforms

KEY = random.key(0)
TRANSPOSED = [nn.conv_transpose1d, nn.conv_transpose2d, nn.conv_transpose3d]
CONVOLUTIONS = [nn.conv1d, nn.conv2d, nn.conv3d]


def ones(key, shape, dtype):
    return torch.ones(shape, dtype=dtype)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_default_distribution(rank):
    kernel = (5, 3, 1)[:rank]
    layer = TRANSPOSED[rank - 1](2000, kernel, groups=400)
    params, _ = layer.init(KEY, torch.empty(800, *(9,) * rank, dtype=torch.float64))
    assert params["weight"].shape == (800, 5, *kernel)
    assert params["bias"].shape == (2000,)
    for leaf in params.values():
        scaled = leaf.flatten() * params["weight"][0].numel() ** 0.5
        n = scaled.numel()
        assert 1 - 20 / n < scaled.abs().max() <= 1
        assert abs(scaled.mean()) < 5 * (1 / 3 / n) ** 0.5
        assert abs((scaled**2).mean() - 1 / 3) < 5 * (4 / 45 / n) ** 0.5


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_initializers_are_used(rank):
    layer = TRANSPOSED[rank - 1](3, 2, weight_init=ones, bias_init=ones)
    x = torch.ones(5, *(1,) * rank)
    params, _ = layer.init(KEY, x)
    assert torch.equal(layer(params, x), torch.full((3, *(2,) * rank), 6.0))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_it_is_the_transpose_of_the_convolution(rank):
    arguments = {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2, "bias": False}
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, *(8,) * rank, generator=generator, dtype=torch.float64)
    convolution, transposed = (
        CONVOLUTIONS[rank - 1](6, **arguments),
        TRANSPOSED[rank - 1](4, **arguments, output_padding=1),
    )
    params, _ = convolution.init(KEY, x)
    y = torch.randn(convolution(params, x).shape, generator=generator, dtype=torch.float64)
    gradient = transforms.grad(lambda x: (convolution(params, x) * y).sum())(x)
    torch.testing.assert_close(transposed(params, y), gradient)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_bias_is_added_at_every_point(rank, dtype):
    """Also where no kernel reaches, which torch 2.15 forgets in bfloat16 on the CPU."""
    layer = TRANSPOSED[rank - 1](3, 2, stride=3, output_padding=2)
    x = torch.zeros(2, 4, *(3,) * rank, dtype=dtype)
    params, _ = layer.init(KEY, x)
    y = layer(params, x)
    assert torch.equal(y, params["bias"].view(-1, *(1,) * rank).expand_as(y))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(params, x)
        assert y.dtype == torch.bfloat16
        assert torch.equal(y, params["bias"].bfloat16().view(-1, *(1,) * rank).expand_as(y))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 5), r"expected \(batch, channels, height, width\) or \(channels, height, width\), got shape \(4, 5\)"),
        ((3, 5, 5), r"expected 4 channels, got shape \(3, 5, 5\)"),
        (
            (4, 5, 1),
            r"expected an image with a non-empty output .* padding=2, got shape \(4, 5, 1\), whose output is \(7, -1\)",
        ),
    ],
)
def test_wrong_inputs(shape, message):
    layer = nn.conv_transpose2d(2, kernel_size=3, stride=2, padding=2)
    params, _ = layer.init(KEY, torch.empty(4, 5, 5))
    with pytest.raises(ValueError, match=r"^conv_transpose2d\(2, kernel_size=3\): " + message):
        layer(params, torch.zeros(shape))


def test_wrong_dtype():
    layer = nn.conv_transpose1d(2, 3)
    params, _ = layer.init(KEY, torch.empty(1, 9))
    with pytest.raises(TypeError, match=r"^conv_transpose1d\(2, kernel_size=3\): expected .* got torch.float64; conv"):
        layer(params, torch.zeros(1, 9, dtype=torch.float64))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.conv_transpose2d(4, (3,)), r"expected an int or 2 of them for kernel_size, got \(3,\)"),
        (lambda: nn.conv_transpose2d(4, 3, 0), "expected kernel_size, stride, dilation and groups of at least 1"),
        (lambda: nn.conv_transpose2d(4, 3, padding=-1), "expected padding of at least 0, got -1"),
        (
            lambda: nn.conv_transpose2d(4, 3, 2, output_padding=2),
            "expected output_padding from 0 to less than the stride or the dilation, got 2 for stride=2 and dilation=1",
        ),
        (lambda: nn.conv_transpose2d(4, 3, 2, output_padding=(0, -1)), "expected output_padding from 0"),
        (lambda: nn.conv_transpose2d(4, 3, groups=3), "expected out_channels divisible by groups=3, got 4"),
        (
            lambda: nn.conv_transpose2d(4, 3, groups=2).init(KEY, torch.empty(3, 9, 9)),
            "expected a number of channels divisible by groups=2, got 3",
        ),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=r"conv_transpose2d\(4, kernel_size=.*\): " + message):
        make()
