from collections import OrderedDict

import torch

from funcdl import nn, random
from funcdl.nn.validation import entry
from tests.nn.cases.case import Case, image
from tests.twins.blocks import Again, Function, Parallel, Residual

T = torch.nn


def relu_of_sum(pair):
    return torch.relu(pair[0] + pair[1])


def init_matrix(key, x):
    return {"weight": random.normal(key, (5, x.shape[-1]), dtype=x.dtype)}


def times_matrix(params, x):
    return torch.nn.functional.linear(x, entry("times_matrix", params, "weight"))


def once_or_twice(x, key, train):
    return (x.sum() > 0).long() + 1


CASES = {
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
            nn.residual(nn.serial(fc=nn.linear(3)), combine=relu_of_sum),
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
    "repeat": [
        Case(nn.repeat(nn.linear(3), 3), lambda: T.Sequential(*[T.Linear(3, 3) for _ in range(3)]), (4, 3)),
        Case(nn.repeat(torch.tanh, 2), lambda: T.Sequential(T.Tanh(), T.Tanh()), (4, 3)),
        Case(nn.repeat(nn.linear(2), 0), T.Sequential, (4, 3)),
    ],
    "tied": [
        Case(
            nn.tied(nn.serial(nn.linear(3), torch.tanh), 3),
            lambda: Again(lambda x: 3, T.Linear(3, 3), T.Tanh()),
            (4, 3),
        ),
        Case(
            nn.tied(nn.serial(nn.linear(3)), 3, times=once_or_twice),
            lambda: Again(lambda x: 1 + int(x.sum() > 0), T.Linear(3, 3)),
            (4, 3),
            unbatched=False,
        ),
        Case(nn.tied(nn.serial(nn.linear(3)), 0), lambda: Again(lambda x: 0, T.Linear(3, 3)), (4, 3)),
    ],
    "parametric": [Case(nn.parametric(init_matrix, times_matrix), lambda: T.Linear(3, 5, bias=False), (4, 3))],
    "stateless": [Case(nn.stateless(torch.tanh), T.Tanh, (4, 3))],
    "concatenate": [Case(nn.concatenate(-1), lambda: Function(lambda *xs: torch.cat(xs, -1)), [(4, 3), (4, 2)])],
    "add": [Case(nn.add(), lambda: Function(lambda a, b, c: a + b + c), [(4, 3)] * 3)],
}
