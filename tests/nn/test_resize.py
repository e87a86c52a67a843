import pytest
import torch

from funcdl import nn


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (nn.upsample, "upsample: expected size or scale_factor, got size=None and scale_factor=None"),
        (lambda: nn.upsample(3, 2), "upsample: expected size or scale_factor, got size=3 and scale_factor=2"),
        (
            lambda: nn.upsample(3, mode="cubic"),
            r"upsample\(size=3, mode='cubic'\): expected mode nearest, .*, got 'cubic'",
        ),
        (
            lambda: nn.upsample(scale_factor=2, align_corners=True),
            r"upsample\(scale_factor=2, mode='nearest'\): expected align_corners with mode linear, .* only, got True",
        ),
        (
            lambda: nn.upsample(3, recompute_scale_factor=True),
            "expected recompute_scale_factor with a scale_factor only",
        ),
        (lambda: nn.upsample((3, 0)), r"upsample\(size=\(3, 0\), mode='nearest'\): expected size above 0"),
        (
            lambda: nn.upsample((3, 3, 3), mode="bilinear"),
            r"upsample\(size=\(3, 3, 3\), mode='bilinear'\): expected size of 2 numbers or one",
        ),
        (lambda: nn.upsample(scale_factor=-1), "expected scale_factor above 0"),
        (
            lambda: nn.upsample(2, mode="bilinear")({}, torch.ones(1, 3, 3)),
            r"expected \(batch, channels\) and 2 spatial axes, got shape \(1, 3, 3\); a single sample needs a batch of",
        ),
        (
            lambda: nn.upsample((2, 2))({}, torch.ones(1, 3, 3)),
            r"upsample\(size=\(2, 2\), mode='nearest'\): expected \(batch, channels\) and 2 spatial axes",
        ),
        (lambda: nn.upsample(2)({}, torch.ones(3, 3)), r"and 1 or 2 or 3 spatial axes, got shape \(3, 3\)"),
        (
            lambda: nn.upsample(scale_factor=(1, 0.3))({}, torch.ones(1, 1, 3, 3)),
            r"expected an image that leaves a point of each axis, got shape \(1, 1, 3, 3\)",
        ),
        (
            lambda: nn.pixel_shuffle(2)({}, torch.ones(6, 3, 3)),
            r"pixel_shuffle\(2\): expected \(\.\.\., channels, height, width\) with channels divisible by 4, got shape",
        ),
        (lambda: nn.pixel_shuffle(2)({}, torch.ones(4, 3)), r"pixel_shuffle\(2\): expected .*, got shape \(4, 3\)"),
        (
            lambda: nn.pixel_unshuffle(2)({}, torch.ones(1, 4, 3)),
            r"pixel_unshuffle\(2\): expected .* with height and width divisible by 2, got shape \(1, 4, 3\)",
        ),
        (lambda: nn.pixel_unshuffle(0), r"pixel_unshuffle\(0\): expected a factor of at least 1"),
        (lambda: nn.pixel_shuffle(-2), r"pixel_shuffle\(-2\): expected a factor of at least 1"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_formula_of_pixel_shuffle():
    r, x = 3, torch.arange(2 * 9 * 2 * 4.0).view(18, 2, 4)
    y = nn.pixel_shuffle(r)({}, x)
    for c, h, w, i, j in torch.cartesian_prod(*(torch.arange(n) for n in (2, 2, 4, r, r))).tolist():
        assert y[c, h * r + i, w * r + j] == x[(c * r + i) * r + j, h, w]
    assert torch.equal(nn.pixel_unshuffle(r)({}, y), x)
