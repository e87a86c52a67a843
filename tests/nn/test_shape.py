import einops
import pytest
import torch

from funcdl import nn


def test_identity_returns_its_input():
    x = torch.ones(3)
    assert nn.identity()({}, x) is x
    pair = x, x
    assert nn.identity()({}, pair) is pair


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: nn.unflatten(1, (-1, 2, -1)),
            r"unflatten\(1, \(-1, 2, -1\)\): expected sizes of at least 0, of which one",
        ),
        (lambda: nn.unflatten(1, (3, -2)), "expected sizes of at least 0, of which one may be -1"),
        (lambda: nn.unflatten(1, ()), "expected sizes of at least 0"),
        (
            lambda: nn.unflatten(2, (3, 2))({}, torch.ones(1, 6)),
            r"unflatten\(2, \(3, 2\)\): expected an input with a dimension 2, got shape \(1, 6\)",
        ),
        (
            lambda: nn.unflatten(1, (3, 2))({}, torch.ones(1, 7)),
            r"unflatten\(1, \(3, 2\)\): expected sizes that make up the 7 of dimension 1 of \(1, 7\)",
        ),
        (
            lambda: nn.unflatten(-1, (3, -1))({}, torch.ones(1, 7)),
            r"unflatten\(-1, \(3, -1\)\): expected sizes that make up the 7 of dimension -1 of \(1, 7\)",
        ),
        (lambda: nn.unflatten(0, (0, -1))({}, torch.ones(0)), "expected sizes that make up the 0 of dimension 0"),
    ],
)
def test_errors_of_unflatten(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_rearrange_names_pattern_and_shape():
    with pytest.raises(einops.EinopsError, match=r'(?s)rearrange-reduction pattern "b \(c two\) -> b c two".*\[2, 3\]'):
        nn.rearrange("b (c two) -> b c two", two=2)({}, torch.ones(2, 3))
