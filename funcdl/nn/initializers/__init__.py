"""Initial values: an initializer is a function `(key, shape, dtype) -> tensor` on the key's device.

`zeros`, `ones` and `identity` are initializers; the others are functions that make one. A weight has the shape
(outputs, inputs, *kernel); `fan_in` is the number of inputs of one output, `inputs * kernel`, and `fan_out` that of
outputs of one input, `outputs * kernel`.

>>> import torch
>>> from funcdl import nn, random
>>> from funcdl.nn import initializers
>>> layer = nn.linear(2, weight_init=initializers.xavier_uniform(), bias_init=initializers.zeros)
>>> params, buffers = layer.init(random.key(0), torch.empty(1, 3))
>>> params["bias"]
tensor([0., 0.])
"""

from funcdl.nn.initializers.basic import (
    Initializer,
    constant,
    normal,
    ones,
    truncated_normal,
    uniform,
    zeros,
)
from funcdl.nn.initializers.structured import dirac, identity, orthogonal, sparse
from funcdl.nn.initializers.variance_scaling import (
    calculate_gain,
    kaiming_normal,
    kaiming_uniform,
    xavier_normal,
    xavier_uniform,
)

__all__ = [
    "Initializer",
    "calculate_gain",
    "constant",
    "dirac",
    "identity",
    "kaiming_normal",
    "kaiming_uniform",
    "normal",
    "ones",
    "orthogonal",
    "sparse",
    "truncated_normal",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]
