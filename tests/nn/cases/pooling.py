import torch
import torch.nn.functional as F

from funcdl import nn
from tests.nn.cases.case import Case, image, sequence, volume
from tests.twins.blocks import Function

T = torch.nn


def case(name, shape, *args, **arguments):
    """A case whose twin is the class of that name, with the same arguments."""
    kind, rank = name[:-2].removesuffix("_pool"), name[-2:]
    twin = {"max": "MaxPool", "avg": "AvgPool", "lp": "LPPool"}.get(
        kind, "".join(map(str.title, kind.split("_"))) + "Pool"
    )
    return Case(getattr(nn, name)(*args, **arguments), lambda: getattr(T, twin + rank)(*args, **arguments), shape)


def least(rank, shape, *args, **arguments):
    """A case of a min pool, which is max pooling of what is below zero."""
    pool = getattr(F, f"max_pool{rank}d")
    return Case(
        getattr(nn, f"min_pool{rank}d")(*args, **arguments),
        lambda: Function(lambda x: -pool(-x, *args, **arguments)),
        shape,
    )


CASES = {
    "max_pool1d": [case("max_pool1d", sequence, 2), case("max_pool1d", sequence, 4, 2, 1, 2, ceil_mode=True)],
    "max_pool2d": [
        case("max_pool2d", image, 2),
        case("max_pool2d", image, (3, 2), (1, 2), (1, 0)),
        case("max_pool2d", image, 2, dilation=(2, 3)),
        case("max_pool2d", image, 3, 2, ceil_mode=True),
    ],
    "max_pool3d": [case("max_pool3d", volume, 2), case("max_pool3d", volume, (1, 3, 2), 2, (0, 1, 1), ceil_mode=True)],
    "min_pool1d": [least(1, sequence, 2), least(1, sequence, 4, 2, 2)],
    "min_pool2d": [least(2, image, 2), least(2, image, (3, 2), 2, 1, ceil_mode=True), least(2, image, 2, dilation=2)],
    "min_pool3d": [least(3, volume, 2), least(3, volume, 3, 1, 1)],
    "avg_pool1d": [
        case("avg_pool1d", sequence, 2),
        case("avg_pool1d", sequence, 3, 2, 1, ceil_mode=True, count_include_pad=False),
        case("avg_pool1d", sequence, 2, 2, 1, True),  # a last window would begin in the padding
        case("avg_pool1d", sequence, 4, 2, 1, True),
    ],
    "avg_pool2d": [
        case("avg_pool2d", image, 2),
        case("avg_pool2d", image, (3, 2), (2, 1), (1, 0)),
        case("avg_pool2d", image, 3, 2, 1, True, False),
        case("avg_pool2d", image, 3, 2, ceil_mode=True, divisor_override=5),
        case("avg_pool2d", image, 2, 2, (1, 0), True),
        case("avg_pool2d", image, 3, 2, 1, True),
    ],
    "avg_pool3d": [
        case("avg_pool3d", volume, 2),
        case("avg_pool3d", volume, 3, 2, 1, True, False),
        case("avg_pool3d", volume, (1, 2, 3), 1, divisor_override=-2),
    ],
    "lp_pool1d": [case("lp_pool1d", sequence, 2, 3), case("lp_pool1d", sequence, 4, 3, 3, ceil_mode=True)],
    "lp_pool2d": [
        case("lp_pool2d", image, 2, 3),
        case("lp_pool2d", image, 1.0, 2),
        case("lp_pool2d", image, 4.0, (3, 2), (2, 1), True),
    ],
    "lp_pool3d": [case("lp_pool3d", volume, 2, 2), case("lp_pool3d", volume, 2.0, (1, 3, 2), 2, ceil_mode=True)],
    **{
        f"adaptive_{kind}_pool{rank}d": [case(f"adaptive_{kind}_pool{rank}d", shape, size) for size in sizes]
        for kind in ("avg", "max")
        for rank, shape, sizes in (
            (1, sequence, (1, 4)),
            (2, image, (1, 4, (None, 3), (12, 5))),
            (3, volume, (1, 2, (3, None, 4))),
        )
    },
}
