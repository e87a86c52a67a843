import torch

from funcdl import nn
from tests.nn.cases.case import Case, image
from tests.twins.blocks import Function

T = torch.nn


def elementwise(constructor, twin, *options):
    """The layer without arguments, and one for each dict of them, of numbers on all sides of their bends."""
    return [
        Case(
            nn.serial(lambda x: 4 * x, constructor(**kwargs)),
            lambda kwargs=kwargs: T.Sequential(Function(lambda x: 4 * x), twin(**kwargs)),
            (16, 3),
        )
        for kwargs in ({}, *options)
    ]


def along(constructor, twin):
    return [
        Case(constructor(-1), lambda: twin(-1), (4, 3)),
        Case(constructor(dim=1), lambda: twin(1), image, unbatched=False),
    ]


CASES = {
    "relu": elementwise(nn.relu, T.ReLU),
    "relu6": elementwise(nn.relu6, T.ReLU6),
    "leaky_relu": elementwise(nn.leaky_relu, T.LeakyReLU, {"negative_slope": 0.3}),
    "prelu": [
        Case(nn.prelu(), T.PReLU, (4, 3)),
        Case(nn.prelu(4, 0.1), lambda: T.PReLU(4, 0.1), image, unbatched=False),
    ],
    "rrelu": elementwise(nn.rrelu, T.RReLU, {"lower": 0.1, "upper": 0.7}),
    "hardtanh": elementwise(nn.hardtanh, T.Hardtanh, {"min_val": -0.3, "max_val": 0.2}),
    "hardsigmoid": elementwise(nn.hardsigmoid, T.Hardsigmoid),
    "hardswish": elementwise(nn.hardswish, T.Hardswish),
    "hardshrink": elementwise(nn.hardshrink, T.Hardshrink, {"lambd": 0.2}),
    "softshrink": elementwise(nn.softshrink, T.Softshrink, {"lambd": 0.2}),
    "threshold": [Case(nn.threshold(0.2, 3.0), lambda: T.Threshold(0.2, 3.0), (4, 3))],
    "elu": elementwise(nn.elu, T.ELU, {"alpha": 0.4}),
    "celu": elementwise(nn.celu, T.CELU, {"alpha": 0.4}),
    "selu": elementwise(nn.selu, T.SELU),
    "gelu": elementwise(nn.gelu, T.GELU, {"approximate": "tanh"}),
    "silu": elementwise(nn.silu, T.SiLU),
    "mish": elementwise(nn.mish, T.Mish),
    "softplus": elementwise(nn.softplus, T.Softplus, {"beta": 2.0, "threshold": 0.5}),
    "softsign": elementwise(nn.softsign, T.Softsign),
    "sigmoid": elementwise(nn.sigmoid, T.Sigmoid),
    "log_sigmoid": elementwise(nn.log_sigmoid, T.LogSigmoid),
    "tanh": elementwise(nn.tanh, T.Tanh),
    "tanhshrink": elementwise(nn.tanhshrink, T.Tanhshrink),
    "softmax": along(nn.softmax, T.Softmax),
    "softmin": along(nn.softmin, T.Softmin),
    "log_softmax": along(nn.log_softmax, T.LogSoftmax),
    "softmax2d": [Case(nn.softmax2d(), T.Softmax2d, image)],
    "glu": [
        Case(nn.glu(), T.GLU, (4, 6)),
        Case(nn.glu(1), lambda: T.GLU(1), image, unbatched=False),
    ],
}
