"""Linear and bilinear layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from funcdl.nn.initializers import Initializer
from funcdl.nn.initializers.layer_parameters import weight_and_bias
from funcdl.nn.layer import Layer, Params, parametric
from funcdl.nn.validation import check_dtype, check_sizes, entry


def linear(
    out_features: int,
    bias: bool = True,
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """An affine map of the last dimension: `y = x @ weight.T + bias`.

    Args:
        out_features: the size of the last dimension of the output.
        bias: whether to add a bias.
        weight_init: draws the weight, of shape (out_features, in_features); U(-1/sqrt(in_features),
            1/sqrt(in_features)) by default.
        bias_init: draws the bias, of shape (out_features,); by default like the weight.

    Input (..., in_features), output (..., out_features).

    Raises:
        ValueError: `out_features` is negative; raised by `apply` if the last dimension is not that of `init`.
        TypeError: raised by `apply` if the input has another dtype than the parameters.

    Equals `torch.nn.Linear`.

    >>> from funcdl import random
    >>> layer = linear(4)
    >>> params, buffers = layer.init(random.key(0), torch.empty(8, 3, device="meta"))
    >>> {name: tuple(leaf.shape) for name, leaf in params.items()}
    {'weight': (4, 3), 'bias': (4,)}
    >>> layer(params, torch.ones(8, 3)).shape
    torch.Size([8, 4])
    """
    name = f"linear({out_features})"
    check_sizes(name, out_features=out_features)

    def init(key: Tensor, x: Float[Tensor, "... inputs"]) -> Params:
        if x.ndim == 0:
            raise ValueError(f"{name}: expected (..., in_features), got shape ()")
        shape = (out_features, x.shape[-1])
        return weight_and_bias(key, shape, x.dtype, bias=bias, weight_init=weight_init, bias_init=bias_init)

    def f(params: Params, x: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        weight = entry(name, params, "weight")
        if x.shape[-1:] != weight.shape[1:]:
            raise ValueError(f"{name}: expected (..., {weight.shape[1]}), as in init(), got shape {tuple(x.shape)}")
        check_dtype(name, x, weight)
        return F.linear(x, weight, entry(name, params, "bias") if bias else None)

    return parametric(init, f)


def bilinear(
    out_features: int,
    bias: bool = True,
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """A bilinear map of two vectors, plus a bias.

    `y[k] = sum of x1[i] * weight[k, i, j] * x2[j] over i and j, + bias[k]`.

    Args:
        out_features: the size of the last dimension of the output.
        bias: whether to add a bias.
        weight_init: draws the weight, of shape (out_features, in1_features, in2_features); U(-1/sqrt(in1_features),
            1/sqrt(in1_features)) by default.
        bias_init: draws the bias, of shape (out_features,); by default like the weight.

    Input: a tuple of (..., in1_features) and (..., in2_features), with equal leading dimensions.
    Output: (..., out_features).

    Raises:
        ValueError: raised by `init` and `apply` if the leading dimensions differ; raised by `apply` if the last
            dimensions are not those of `init`.
        TypeError: raised by `apply` if an input has another dtype than the parameters.

    Equals `torch.nn.Bilinear`, within rounding: here it is a matrix product, which is several times as fast.

    >>> from funcdl import random
    >>> layer = bilinear(4)
    >>> x = torch.ones(8, 3), torch.ones(8, 2)
    >>> params, buffers = layer.init(random.key(0), x)
    >>> params["weight"].shape, layer(params, x).shape
    (torch.Size([4, 3, 2]), torch.Size([8, 4]))
    """
    name = f"bilinear({out_features})"
    check_sizes(name, out_features=out_features)

    def init(key: Tensor, x: tuple[Tensor, Tensor]) -> Params:
        check(x)
        shape = (out_features, x[0].shape[-1], x[1].shape[-1])
        return weight_and_bias(
            key, shape, x[0].dtype, bias=bias, weight_init=weight_init, bias_init=bias_init, fan_in=shape[1]
        )

    def f(
        params: Params, x: tuple[Float[Tensor, "... inputs1"], Float[Tensor, "... inputs2"]]
    ) -> Float[Tensor, "... outputs"]:
        weight = entry(name, params, "weight")
        check(x)
        if (x[0].shape[-1], x[1].shape[-1]) != weight.shape[1:]:
            raise ValueError(
                f"{name}: expected (..., {weight.shape[1]}) and (..., {weight.shape[2]}), as in init(), got shapes "
                f"{tuple(x[0].shape)} and {tuple(x[1].shape)}"
            )
        for part in x:
            check_dtype(name, part, weight)
        y = torch.einsum("...i,kij,...j->...k", x[0], weight, x[1])
        return y + entry(name, params, "bias") if bias else y

    def check(x: tuple[Tensor, Tensor]) -> None:
        shapes = [tuple(part.shape) for part in x]
        if len(shapes) != 2 or () in shapes or shapes[0][:-1] != shapes[1][:-1]:
            raise ValueError(
                f"{name}: expected a tuple of (..., in1_features) and (..., in2_features), got shapes "
                f"{' and '.join(map(str, shapes))}"
            )

    return parametric(init, f)
