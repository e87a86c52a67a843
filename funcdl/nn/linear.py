"""Affine layers."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from funcdl.nn.checks import check_dtype
from funcdl.nn.initializers import Initializer, weight_and_bias
from funcdl.nn.layer import Buffers, Layer, Params


def linear(
    out_features: int,
    bias: bool = True,
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Multiplies by a matrix and adds a vector: `y = x @ weight.T + bias`.

    Args:
        out_features: the size of the last dimension of the output.
        bias: whether to add one.
        weight_init: draws the weight, of shape (out_features, in_features); U(-1/sqrt(in_features),
            1/sqrt(in_features)) by default.
        bias_init: draws the bias, of shape (out_features,); as the weight by default.

    Input (..., in_features), output (..., out_features).

    Raises:
        ValueError: by `apply`, when the last dimension is not the one that `init` saw.
        TypeError: by `apply`, when the input has another dtype than the parameters.

    Equals `torch.nn.Linear`.

    >>> import torch
    >>> from funcdl import random
    >>> layer = linear(4)
    >>> params, buffers = layer.init(random.key(0), torch.empty(8, 3, device="meta"))
    >>> {name: tuple(leaf.shape) for name, leaf in params.items()}
    {'weight': (4, 3), 'bias': (4,)}
    >>> layer(params, torch.ones(8, 3)).shape
    torch.Size([8, 4])
    """
    name = f"linear({out_features})"

    def init(key: Tensor, x: Float[Tensor, "... inputs"]) -> tuple[Params, Buffers]:
        if x.ndim == 0:
            raise ValueError(f"{name}: expected (..., in_features), got shape ()")
        shape = (out_features, x.shape[-1])
        return weight_and_bias(key, shape, x.dtype, bias=bias, weight_init=weight_init, bias_init=bias_init), {}

    def apply(
        params: Params,
        buffers: Buffers,
        x: Float[Tensor, "... inputs"],
        *,
        key: Tensor | None = None,
        train: bool = False,
    ) -> tuple[Float[Tensor, "... outputs"], Buffers]:
        weight = params["weight"]
        if x.shape[-1:] != weight.shape[1:]:
            raise ValueError(f"{name}: expected (..., {weight.shape[1]}), as in init(), got shape {tuple(x.shape)}")
        check_dtype(name, x, weight)
        return F.linear(x, weight, params["bias"] if bias else None), buffers

    return Layer(init, apply)
