"""Roots, norms and quotients with derivatives where they have none: at zero.

A gradient of zero is common: of a unit that is not active, of a padded word. There the derivative of a root is infinite
and what the chain rule multiplies it by is 0, so that the product is NaN though the update is as smooth as can be.
"""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl.context import is_transformed


def recorded(*tensors: Tensor) -> bool:
    """Whether somebody may differentiate what is done with these tensors, or maps it: then nothing is done in place.

    >>> recorded(torch.ones(1)), recorded(torch.ones(1, requires_grad=True))
    (False, True)
    """
    return True in [tensor.requires_grad for tensor in tensors] or is_transformed()


def root(x: Tensor) -> Tensor:
    """Returns the square root; its derivatives at 0 are 0.

    >>> torch.func.grad(root)(torch.tensor(0.0))
    tensor(0.)
    """
    if not (x.requires_grad or is_transformed()):  # `recorded`, for each leaf
        return x.sqrt()
    zero = x == 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, x).sqrt())


def norm(x: Tensor, dim: tuple[int, ...] | None = None) -> Tensor:
    """Returns the Euclidean norm over all dimensions, or over `dim`, which stay; its derivatives at 0 are 0.

    >>> torch.func.hessian(norm)(torch.zeros(1))
    tensor([[0.]])
    """
    if not (x.requires_grad or is_transformed()):
        return _plain_norm(x, dim)
    zero = _plain_norm(x, dim) == 0
    return torch.where(zero, 0.0, _plain_norm(torch.where(zero, 1.0, x), dim))


def norm_squared(x: Tensor) -> Tensor:
    """Returns the square of the Euclidean norm, rounded as `norm` is.

    >>> torch.func.hessian(norm_squared)(torch.zeros(1))
    tensor([[2.]])
    """
    if not (x.requires_grad or is_transformed()):
        return torch.linalg.vector_norm(x).square()
    length = norm(x)
    return torch.where(length == 0, (x * x).sum(), length.square())


def power(base: Tensor, exponent: float | Tensor) -> Tensor:
    """Returns `base ** exponent`; where the base is 0, its derivatives by the exponent are 0.

    >>> torch.func.hessian(lambda exponent: power(torch.tensor(0.0), exponent))(torch.tensor(2.0))
    tensor(0.)
    """
    if not isinstance(exponent, Tensor) or not recorded(base, exponent):
        return base**exponent
    zero = base == 0
    return torch.where(zero, base ** exponent.detach(), torch.where(zero, 1.0, base) ** exponent)


def nonzero(x: Tensor) -> Tensor:
    """Returns `x`, with 1 in place of 0: what to divide by where the quotient by 0 is not chosen.

    >>> nonzero(torch.tensor([0.0, 2.0]))
    tensor([1., 2.])
    """
    return torch.where(x == 0, 1.0, x)


def _plain_norm(x: Tensor, dim: tuple[int, ...] | None) -> Tensor:
    return torch.linalg.vector_norm(x) if dim is None else torch.linalg.vector_norm(x, dim=dim, keepdim=True)
