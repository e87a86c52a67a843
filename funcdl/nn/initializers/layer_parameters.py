"""Initial weights and biases of linear, convolution and normalization layers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from funcdl import random
from funcdl.nn.initializers.basic import Initializer, ones, uniform, zeros


def weight_and_bias(
    key: Tensor,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    *,
    bias: bool,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
    outputs: int | None = None,
    fan_in: int | None = None,
) -> dict[str, Tensor]:
    """Draws the weight, of `shape` (outputs, inputs, ...), and the bias of a linear or convolution layer.

    Where no initializer is given, both come from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as in torch; `fan_in` is the
    product of `shape[1:]`, unless given. The bias has `outputs` elements, `shape[0]` unless given. If `dtype`, that of
    the input, is not floating, as for images of bytes, the parameters have `torch.get_default_dtype()`.
    """
    fan_in = math.prod(shape[1:]) if fan_in is None else fan_in
    default = uniform(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in)) if fan_in else zeros
    bias_shape = (shape[0] if outputs is None else outputs,)
    return _weight_and_bias(key, shape, bias_shape, dtype, bias, weight_init or default, bias_init or default)


def norm_weight_and_bias(
    key: Tensor,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    *,
    bias: bool,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> dict[str, Tensor]:
    """Draws the weight and the bias of a normalization layer; ones and zeros by default, as in torch."""
    return _weight_and_bias(key, shape, shape, dtype, bias, weight_init or ones, bias_init or zeros)


def _weight_and_bias(
    key: Tensor,
    shape: tuple[int, ...],
    bias_shape: tuple[int, ...],
    dtype: torch.dtype,
    bias: bool,
    weight_init: Initializer,
    bias_init: Initializer,
) -> dict[str, Tensor]:
    dtype = dtype if dtype.is_floating_point else torch.get_default_dtype()
    weight_key, bias_key = random.split(key)
    params = {"weight": weight_init(weight_key, shape, dtype)}
    if bias:
        params["bias"] = bias_init(bias_key, bias_shape, dtype)
    return params
