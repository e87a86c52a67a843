import numpy
import pytest
import torch

from funcdl import nn

KINDS = {"circular": "wrap", "constant": "constant", "reflection": "reflect", "replication": "edge", "zero": "constant"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(2, 5), (2, 4, 5), (2, 3, 4, 5)])
def test_equals_numpys_pad(kind, shape):
    x = torch.arange(120.0)[: torch.Size(shape).numel()].view(shape)
    rank = len(shape) - 1
    padding = (1, 2, 3, 0, 2, 1)[: 2 * rank]  # (left, right, top, bottom, front, back)
    value = (7.0,) if kind == "constant" else ()
    pairs = [(0, 0), *((2, 1), (3, 0), (1, 2))[-rank:]]  # the first axis first
    options = {"constant_values": 7.0} if value else {}
    expected = numpy.pad(x.numpy(), pairs, mode=KINDS[kind], **options)
    assert torch.equal(getattr(nn, f"{kind}_pad{rank}d")(padding, *value)({}, x), torch.from_numpy(expected))


def test_constant_padding_of_any_shape():
    assert nn.zero_pad2d(1)({}, torch.ones(2, 3)).shape == (4, 5)
    assert nn.constant_pad1d((0, 1), 2.0)({}, torch.ones(1, 1, 1, 1, 1)).tolist() == [[[[[1.0, 2.0]]]]]
    assert nn.zero_pad1d((-2, 0))({}, torch.ones(2)).shape == (0,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.zero_pad2d((1, 2)), r"zero_pad2d\(\(1, 2\)\): expected an int or 4 of them for padding"),
        (
            lambda: nn.constant_pad3d(1, 0.5)({}, torch.ones(2, 2)),
            r"constant_pad3d\(1, 0.5\): expected \(\.\.\., depth, height, width\), got shape \(2, 2\)",
        ),
        (
            lambda: nn.zero_pad1d(-2)({}, torch.ones(1, 3)),
            r"zero_pad1d\(-2\): expected a padding that leaves something, got \(-2, -2\) for size 3",
        ),
        (
            lambda: nn.replication_pad1d(-1)({}, torch.ones(1, 2)),
            r"replication_pad1d\(-1\): expected a padding that leaves something, got \(-1, -1\) for size 2",
        ),
        (
            lambda: nn.reflection_pad2d((3, 0, 0, 0))({}, torch.ones(1, 4, 3)),
            r"reflection_pad2d\(\(3, 0, 0, 0\)\): expected a padding smaller than the size of its axis, got "
            r"\(3, 0\) for size 3 of an input of shape \(1, 4, 3\)",
        ),
        (
            lambda: nn.circular_pad1d(4)({}, torch.ones(1, 3)),
            r"circular_pad1d\(4\): expected a padding of at most the size of its axis, got \(4, 4\) for size 3",
        ),
        (
            lambda: nn.circular_pad1d(1)({}, torch.ones(3)),
            r"circular_pad1d\(1\): expected \(batch, channels, length\) or \(channels, length\), got shape \(3,\)",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match="^" + message):
        make()


def test_the_largest_paddings():
    x = torch.arange(3.0)[None]
    assert nn.reflection_pad1d(2)({}, x).tolist() == [[2.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0]]
    assert nn.circular_pad1d(3)({}, x).tolist() == [[0.0, 1.0, 2.0] * 3]
