"""One or more rows for every constructor that `funcdl.nn` exports, with its `nn.Module` twin: the batteries' table."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch

from funcdl import nn
from tests.twins.blocks import Function, Parallel, Residual


@dataclass(frozen=True)
class Case:
    """A layer, what makes its twin, and the shape of a batch of inputs (or a list of them, for a tuple of inputs)."""

    layer: nn.Layer
    twin: Callable[[], torch.nn.Module]
    shape: tuple[int, ...] | list[tuple[int, ...]]
    unbatched: bool = True  # whether a single sample is an input as well, and no different from a batch of one


image = (2, 4, 9, 8)
T = torch.nn

CASES = {
    "linear": [
        Case(nn.linear(5), lambda: T.Linear(3, 5), (4, 3)),
        Case(nn.linear(5, bias=False), lambda: T.Linear(3, 5, bias=False), (4, 3)),
        Case(nn.linear(1), lambda: T.Linear(3, 1), (2, 4, 3)),
    ],
    "conv2d": [
        Case(nn.conv2d(6, 3), lambda: T.Conv2d(4, 6, 3), image),
        Case(nn.conv2d(6, (3, 2), (2, 1), (1, 0)), lambda: T.Conv2d(4, 6, (3, 2), (2, 1), (1, 0)), image),
        Case(
            nn.conv2d(6, [2, 3], dilation=(2, 3), groups=2),
            lambda: T.Conv2d(4, 6, (2, 3), dilation=(2, 3), groups=2),
            image,
        ),
        Case(nn.conv2d(8, 3, groups=4, bias=False), lambda: T.Conv2d(4, 8, 3, groups=4, bias=False), image),
        Case(nn.conv2d(5, 4, padding="same"), lambda: T.Conv2d(4, 5, 4, padding="same"), image),
        Case(nn.conv2d(5, 3, padding="valid"), lambda: T.Conv2d(4, 5, 3, padding="valid"), image),
        *(
            Case(
                nn.conv2d(3, 3, 2, (1, 2), padding_mode=mode),
                lambda mode=mode: T.Conv2d(4, 3, 3, 2, (1, 2), padding_mode=mode),
                image,
            )
            for mode in ("reflect", "replicate", "circular")
        ),
        Case(
            nn.conv2d(3, (4, 3), padding="same", padding_mode="reflect"),
            lambda: T.Conv2d(4, 3, (4, 3), padding="same", padding_mode="reflect"),
            image,
        ),
    ],
    "max_pool2d": [
        Case(nn.max_pool2d(2), lambda: T.MaxPool2d(2), image),
        Case(nn.max_pool2d((3, 2), (1, 2), (1, 0)), lambda: T.MaxPool2d((3, 2), (1, 2), (1, 0)), image),
        Case(nn.max_pool2d(2, dilation=(2, 3)), lambda: T.MaxPool2d(2, dilation=(2, 3)), image),
        Case(nn.max_pool2d(3, 2, ceil_mode=True), lambda: T.MaxPool2d(3, 2, ceil_mode=True), image),
    ],
    "dropout": [
        Case(nn.dropout(), T.Dropout, (4, 3)),
        Case(nn.dropout(0.25), lambda: T.Dropout(0.25), image),
    ],
    "dropout2d": [Case(nn.dropout2d(0.25), lambda: T.Dropout2d(0.25), image)],
    "flatten": [
        Case(nn.flatten(), T.Flatten, image, unbatched=False),
        Case(nn.flatten(-2), lambda: T.Flatten(-2), image),
        Case(nn.flatten(1, 2), lambda: T.Flatten(1, 2), image, unbatched=False),
    ],
    "relu": [Case(nn.relu(), T.ReLU, (4, 3))],
    "log_softmax": [
        Case(nn.log_softmax(-1), lambda: T.LogSoftmax(-1), (4, 3)),
        Case(nn.log_softmax(dim=1), lambda: T.LogSoftmax(1), image, unbatched=False),
    ],
    "serial": [
        Case(
            nn.serial(nn.conv2d(3, 3), torch.tanh, nn.flatten(), nn.linear(5)),
            lambda: T.Sequential(T.Conv2d(4, 3, 3), T.Tanh(), T.Flatten(), T.Linear(126, 5)),
            image,
            unbatched=False,
        ),
        Case(
            nn.serial(*[nn.linear(2)] * 12),  # two-digit numbers
            lambda: T.Sequential(*[T.Linear(2, 2) for _ in range(12)]),
            (4, 2),
        ),
        Case(
            nn.serial(cn1=nn.serial(nn.linear(4), nn.relu()), fc=nn.linear(2)),
            lambda: T.Sequential(
                OrderedDict(
                    cn1=T.Sequential(T.Linear(3, 4), T.ReLU()),
                    fc=T.Linear(4, 2),
                )
            ),
            (4, 3),
        ),
        Case(nn.serial(), T.Sequential, (4, 3)),
    ],
    "residual": [
        Case(
            nn.residual(
                nn.serial(conv1=nn.conv2d(6, 3, 2, 1), relu=nn.relu(), conv2=nn.conv2d(6, 3, padding=1)),
                downsample=nn.serial(nn.conv2d(6, 1, 2, bias=False)),
                combine=nn.serial(nn.add(), nn.relu()),
            ),
            lambda: Residual(
                conv1=T.Conv2d(4, 6, 3, 2, 1),
                relu=T.ReLU(),
                conv2=T.Conv2d(6, 6, 3, padding=1),
                downsample=T.Sequential(T.Conv2d(4, 6, 1, 2, bias=False)),
            ),
            image,
        ),
        Case(
            nn.residual(nn.serial(fc=nn.linear(3)), combine=lambda pair: torch.relu(pair[0] + pair[1])),
            lambda: Residual(fc=T.Linear(3, 3)),
            (4, 3),
        ),
        Case(
            nn.residual(nn.serial(conv=nn.conv2d(2, 1)), combine=nn.concatenate(1)),
            lambda: Residual(conv=T.Conv2d(4, 2, 1), concatenate=True),
            image,
            unbatched=False,
        ),
    ],
    "parallel": [
        Case(
            nn.parallel(
                branch1x1=nn.conv2d(3, 1), pool=nn.serial(nn.conv2d(2, 3, padding=1)), combine=nn.concatenate(-3)
            ),
            lambda: Parallel(
                branch1x1=T.Conv2d(4, 3, 1),
                pool=T.Sequential(T.Conv2d(4, 2, 3, padding=1)),
                combine=lambda *xs: torch.cat(xs, -3),
            ),
            image,
        ),
        Case(
            nn.parallel(nn.linear(2), nn.relu(), torch.tanh),
            lambda: Parallel(**{"0": T.Linear(3, 2), "1": T.ReLU(), "2": T.Tanh()}),
            (4, 3),
        ),
    ],
    "stateless": [Case(nn.stateless(torch.tanh), T.Tanh, (4, 3))],
    "concatenate": [Case(nn.concatenate(-1), lambda: Function(lambda *xs: torch.cat(xs, -1)), [(4, 3), (4, 2)])],
    "add": [Case(nn.add(), lambda: Function(lambda a, b, c: a + b + c), [(4, 3)] * 3)],
}

ROWS = [(f"{name}{index}", case) for name, cases in CASES.items() for index, case in enumerate(cases)]
