import itertools

import pytest
import torch
import torch.nn.functional as F

from funcdl import nn, transforms


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 5), r"expected \(batch, channels, height, width\) or \(channels, height, width\), got shape \(3, 5\)"),
        ((1, 4, 1), r"expected a padded image of at least \(2, 2\), the extent of the window, got shape \(1, 4, 1\)"),
        ((1, 4, 0), r"expected a padded image of at least \(2, 2\), the extent of the window, got shape \(1, 4, 0\)"),
    ],
)
@pytest.mark.parametrize("constructor", [nn.max_pool2d, nn.min_pool2d, nn.avg_pool2d])
def test_wrong_inputs(constructor, shape, message):
    with pytest.raises(ValueError, match=rf"^{constructor.__name__}\(2\): " + message):
        constructor(2)({}, torch.zeros(shape))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.max_pool2d(0), r"max_pool2d\(0\): expected kernel_size of at least 1, got \(0, 0\)"),
        (lambda: nn.min_pool1d(2, 0), r"min_pool1d\(2\): expected stride of at least 1, got \(0,\)"),
        (lambda: nn.max_pool3d(2, dilation=0), r"max_pool3d\(2\): expected dilation of at least 1, got \(0, 0, 0\)"),
        (lambda: nn.avg_pool3d((2, 2)), r"avg_pool3d\(\(2, 2\)\): expected an int or 3 of them for kernel_size, got"),
        (
            lambda: nn.max_pool2d(3, padding=2),
            r"max_pool2d\(3\): expected padding from 0 to half the window, \(3, 3\), got 2",
        ),
        (lambda: nn.avg_pool1d(3, padding=-1), r"avg_pool1d\(3\): expected padding from 0 to half the window"),
        (lambda: nn.avg_pool2d(3, divisor_override=0), r"avg_pool2d\(3\): expected divisor_override other than 0"),
        (
            lambda: nn.lp_pool2d(0, 3),
            r"lp_pool2d\(0, 3\): expected norm_type above 0 and finite; max_pool is the limit",
        ),
        (lambda: nn.lp_pool1d(float("inf"), 3), r"lp_pool1d\(inf, 3\): expected norm_type above 0 and finite"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_norm_is_in_the_name():
    with pytest.raises(ValueError, match=r"^lp_pool2d\(2, 3\): expected a padded image"):
        nn.lp_pool2d(2, 3)({}, torch.zeros(1, 2, 2))


def test_accepts_the_windows_that_torch_accepts():
    """The check of sizes refuses no input that torch takes, and lets none through that torch refuses."""
    grid = itertools.product(range(6), range(1, 4), range(1, 4), range(1, 3), (0, 1), (False, True))
    verdicts = set()
    for size, kernel, stride, dilation, padding, ceil_mode in grid:
        if padding > (dilation * (kernel - 1) + 1) // 2 or padding > kernel // 2:
            continue
        x = torch.arange(float(size)).view(1, 1, size)
        arguments = kernel, stride, padding, dilation
        try:
            expected = F.max_pool2d(x, *((1, n) for n in arguments[:2]), (0, padding), (1, dilation), ceil_mode)
        except RuntimeError:
            expected = None
        layer = nn.max_pool2d(*((1, n) for n in arguments[:2]), (0, padding), (1, dilation), ceil_mode=ceil_mode)
        verdicts.add(expected is None)
        if expected is None:
            with pytest.raises(ValueError, match="expected a padded image"):
                layer({}, x)
        else:
            assert torch.equal(layer({}, x), expected)
    assert verdicts == {True, False}


def test_windows_may_extend_beyond_the_input_in_ceil_mode():
    x = torch.arange(4.0).view(1, 2, 2)
    assert nn.max_pool2d(3, 2, ceil_mode=True)({}, x).tolist() == [[[3.0]]]  # although smaller than the window
    assert nn.min_pool2d(3, 2, ceil_mode=True)({}, x + 1).tolist() == [[[1.0]]]


def test_min_pool_takes_the_smallest_value():
    x = torch.randn(2, 3, 12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(nn.min_pool1d(4)({}, x), x.view(2, 3, 3, 4).amin(-1))
    assert torch.equal(nn.min_pool1d(3, 3, 1)({}, x)[..., 0], x[..., :2].amin(-1))  # the padding is never the smallest
    blocks = x.view(2, 3, 2, 2, 3)
    assert torch.equal(nn.min_pool3d((1, 2, 3))({}, blocks)[..., 0, 0], blocks.amin((-2, -1)))
    assert torch.equal(nn.min_pool2d((2, 3))({}, blocks[0])[..., 0, 0], blocks[0].amin((-2, -1)))


def test_the_gradient_of_a_window_of_zeros_is_zero():
    gradient = transforms.grad(lambda x: nn.lp_pool1d(2, 2)({}, x).sum())(torch.tensor([[0.0, 0.0, 3.0, 4.0]]))
    torch.testing.assert_close(gradient, torch.tensor([[0.0, 0.0, 0.6, 0.8]]))


def test_the_root_of_a_negative_sum_is_nan():
    assert nn.lp_pool1d(3, 2)({}, torch.tensor([[-2.0, 1.0, 0.0, 5.0]])).isnan().tolist() == [[True, False]]
