"""Standardization to mean 0 and variance 1 by plain operations, with correct derivatives of any order and kind.

Torch's fused normalization kernels treat mean and variance as constants in higher derivatives: the derivatives of a
`vmap`ped backward pass, of a forward-mode derivative, and of a second derivative are silently wrong.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def standardize(
    x: Float[Tensor, "*shape"],
    dims: tuple[int, ...],
    weight: Float[Tensor, " ..."] | None,
    bias: Float[Tensor, " ..."] | None,
    eps: float,
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, " ..."], Float[Tensor, " ..."]]:
    """Returns `(x - mean) / sqrt(var + eps) * weight + bias`, and the mean and the biased variance along `dims`.

    Half precision is computed in float32, as in torch's kernels. Mean and variance are float32, and have size 1 in
    `dims`.

    >>> standardize(torch.tensor([1.0, 3.0]), (0,), None, None, 0.0)
    (tensor([-1.,  1.]), tensor([2.]), tensor([1.]))
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    var, mean = torch.var_mean(wide, dims, correction=0, keepdim=True)
    y = (wide - mean) * torch.rsqrt(var + eps)
    y = y if weight is None else y * weight
    y = y if bias is None else y + bias
    return y.to(x.dtype), mean, var
