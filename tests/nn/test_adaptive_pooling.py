import pytest
import torch

from funcdl import nn


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: nn.adaptive_avg_pool2d((1, 2, 3)),
            r"adaptive_avg_pool2d\(\(1, 2, 3\)\): expected an int, None, or 2 of",
        ),
        (lambda: nn.adaptive_max_pool1d(0), r"adaptive_max_pool1d\(0\): expected output sizes of at least 1, or None"),
        (
            lambda: nn.adaptive_avg_pool2d(1)({}, torch.zeros(4, 5)),
            r"adaptive_avg_pool2d\(1\): expected \(batch, channels, height, width\) or .*, got shape \(4, 5\)",
        ),
        (
            lambda: nn.adaptive_max_pool3d(1)({}, torch.zeros(4, 5, 0, 2)),
            r"adaptive_max_pool3d\(1\): expected an image with points, got shape \(4, 5, 0, 2\)",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("shape", [(2, 3, 7), (2, 3, 7, 4), (2, 3, 7, 4, 5)])
def test_size_none_keeps_the_input_size(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for kind in ("avg", "max"):
        layer = getattr(nn, f"adaptive_{kind}_pool{len(shape) - 2}d")(None)
        assert torch.equal(layer({}, x), x)


def test_size_1_is_the_global_mean():
    x = torch.randn(2, 3, 7, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(nn.adaptive_avg_pool2d(1)({}, x)[..., 0, 0], x.mean((-2, -1)))
    assert torch.equal(nn.adaptive_max_pool2d(1)({}, x)[..., 0, 0], x.amax((-2, -1)))
