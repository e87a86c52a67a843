"""Initial values: an initializer is a function `(key, shape, dtype) -> tensor` on the key's device."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from funcdl import random

Initializer = Callable[[Tensor, tuple[int, ...], torch.dtype], Tensor]


def uniform(bound: float) -> Initializer:
    """Draws from the uniform distribution on [-bound, bound).

    >>> weight = uniform(0.5)(random.key(0), (3, 2), torch.float64)
    >>> bool((weight.abs() <= 0.5).all())
    True
    """
    return lambda key, shape, dtype: random.uniform(key, shape, low=-bound, high=bound, dtype=dtype)


def zeros(key: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Returns zeros.

    >>> zeros(random.key(0), (3,), torch.float32)
    tensor([0., 0., 0.])
    """
    return torch.zeros(shape, dtype=dtype, device=key.device)


def weight_and_bias(
    key: Tensor,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    *,
    bias: bool,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> dict[str, Tensor]:
    """Returns the parameters of a linear or convolution layer, whose weight has `shape` (outputs, inputs, ...).

    Where no initializer is given, both come from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as in torch, with fan_in the
    number of inputs that one output sees: the product of `shape[1:]`. An input whose dtype is not floating (an image
    of bytes on its way to a conversion, say) asks for parameters in `torch.get_default_dtype()`.
    """
    fan_in = math.prod(shape[1:])
    default = uniform(1 / math.sqrt(fan_in)) if fan_in else zeros
    dtype = dtype if dtype.is_floating_point else torch.get_default_dtype()
    weight_key, bias_key = random.split(key)
    params = {"weight": (weight_init or default)(weight_key, shape, dtype)}
    if bias:
        params["bias"] = (bias_init or default)(bias_key, shape[:1], dtype)
    return params
