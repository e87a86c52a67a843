"""Structured initial weights: orthogonal, sparse, or the identity."""

from __future__ import annotations

import math

import einops
import torch
from torch import Tensor

from funcdl import random
from funcdl.nn.initializers.basic import Initializer


def identity(key: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Returns ones on the diagonal of a matrix and zeros elsewhere: inputs pass a linear layer unchanged.

    Raises:
        ValueError: the shape has not 2 dimensions.

    Equals `torch.nn.init.eye_`.

    >>> identity(random.key(0), (2, 3), torch.float32)
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    if len(shape) != 2:
        raise ValueError(f"identity: expected a shape of 2 dimensions, got {tuple(shape)}; dirac() is for convolutions")
    return torch.eye(*shape, dtype=dtype, device=key.device)


def orthogonal(gain: float = 1.0) -> Initializer:
    """Draws a uniformly distributed matrix with orthonormal rows or columns, whichever are fewer, times `gain`.

    A weight of more dimensions is taken as the matrix (outputs, inputs * kernel). The matrix is the Q of the QR
    decomposition of a normal one, with the signs that make the diagonal of R positive. Half types are computed in
    float32 and rounded. The initializer raises a ValueError for a shape of fewer than 2 dimensions.

    Source: Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks", 2013.
    Equals `torch.nn.init.orthogonal_`.

    >>> weight = orthogonal()(random.key(0), (2, 3), torch.float64)
    >>> torch.allclose(weight @ weight.T, torch.eye(2, dtype=torch.float64))
    True
    """

    def initializer(key: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        if len(shape) < 2:
            raise ValueError(f"orthogonal: expected a shape of at least 2 dimensions, got {tuple(shape)}")
        rows, columns = shape[0], math.prod(shape[1:])
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        q, r = torch.linalg.qr(random.normal(key, (max(rows, columns), min(rows, columns)), dtype=wide))
        q = gain * torch.where(r.diagonal() < 0, -q, q)
        return (q if rows >= columns else q.mT).reshape(shape).to(dtype).contiguous()

    return initializer


def sparse(sparsity: float, std: float = 0.01) -> Initializer:
    """Draws a matrix from N(0, std²) and sets `ceil(sparsity * rows)` random elements of each column to zero.

    Args:
        sparsity: the share of zeros, from 0 to 1.
        std: of the others.

    Source: Martens, "Deep learning via Hessian-free optimization", 2010. Equals `torch.nn.init.sparse_`. The
    initializer raises a ValueError for a shape of not 2 dimensions.

    >>> (sparse(0.5)(random.key(0), (4, 3), torch.float32) == 0).sum(0)
    tensor([2, 2, 2])
    """
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparse(sparsity={sparsity}): expected a share from 0 to 1")

    def initializer(key: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        if len(shape) != 2:
            raise ValueError(f"sparse(sparsity={sparsity}): expected a shape of 2 dimensions, got {tuple(shape)}")
        value_key, order_key = random.split(key)
        rank = random.bits(order_key, shape).argsort(stable=True, dim=0).argsort(dim=0)  # a random order per column
        return random.normal(value_key, shape, std=std, dtype=dtype) * (rank >= math.ceil(sparsity * shape[0]))

    return initializer


def dirac(groups: int = 1) -> Initializer:
    """Returns an initializer of convolutions that pass their input channels through unchanged, as many as fit.

    Output channel i of each group has a one at the center of its kernel for input channel i, and zeros elsewhere.

    Args:
        groups: of the convolution.

    The initializer raises a ValueError for a shape of not 3, 4 or 5 dimensions, or if the groups do not divide the
    output channels. Equals `torch.nn.init.dirac_`.

    >>> dirac()(random.key(0), (2, 1, 3), torch.float32)
    tensor([[[0., 1., 0.]],
            [[0., 0., 0.]]])
    """

    def initializer(key: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        if len(shape) not in (3, 4, 5) or shape[0] % groups:
            raise ValueError(
                f"dirac(groups={groups}): expected a shape (outputs, inputs, *kernel) of 3 to 5 dimensions with "
                f"outputs divisible by the groups, got {tuple(shape)}"
            )
        weight = torch.zeros(shape, dtype=dtype, device=key.device)
        center = weight
        for size in shape[2:]:
            center = center[:, :, size // 2]
        diagonal = torch.eye(shape[0] // groups, shape[1], dtype=dtype, device=key.device)
        center.copy_(einops.repeat(diagonal, "outputs inputs -> (groups outputs) inputs", groups=groups))
        return weight

    return initializer
