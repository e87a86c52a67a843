import pytest
import torch

from funcdl import nn


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 5), r"expected \(batch, channels, height, width\) or \(channels, height, width\), got shape \(3, 5\)"),
        ((1, 4, 1), r"expected a padded image of at least \(2, 2\), the extent of the window, got shape \(1, 4, 1\)"),
    ],
)
def test_wrong_inputs(shape, message):
    with pytest.raises(ValueError, match=r"^max_pool2d\(2\): " + message):
        nn.max_pool2d(2)({}, torch.zeros(shape))


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"max_pool2d\(0\): expected kernel_size, stride and dilation of at least 1"):
        nn.max_pool2d(0)
    with pytest.raises(
        ValueError, match=r"max_pool2d\(3\): expected padding from 0 to half the window, \(3, 3\), got 2"
    ):
        nn.max_pool2d(3, padding=2)


def test_windows_may_stick_out_in_ceil_mode():
    x = torch.arange(4.0).view(1, 2, 2)
    expected = torch.nn.functional.max_pool2d(x, 3, 2, 1, ceil_mode=True)
    assert torch.equal(nn.max_pool2d(3, 2, 1, ceil_mode=True)({}, x), expected)
    assert nn.max_pool2d(3, 2, ceil_mode=True)({}, x).tolist() == [[[3.0]]]  # although smaller than the window
