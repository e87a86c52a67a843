"""Square roots, norms, powers and quotients with finite derivatives at zero.

Zero gradients are common, such as those of inactive units or padded words. The derivative of a square root at zero is
infinite, and the chain rule multiplies it by 0, so that the result is NaN although the update is smooth.
"""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl.context import is_transformed


def under_transform(*tensors: Tensor) -> bool:
    """Whether operations on these tensors may be differentiated or vmapped, so that they must not be in-place.

    >>> under_transform(torch.ones(1)), under_transform(torch.ones(1, requires_grad=True))
    (False, True)
    """
    return True in [tensor.requires_grad for tensor in tensors] or is_transformed()


def safe_sqrt(x: Tensor) -> Tensor:
    """Returns the square root; its derivatives at 0 are 0.

    >>> torch.func.grad(safe_sqrt)(torch.tensor(0.0))
    tensor(0.)
    """
    if not (x.requires_grad or is_transformed()):  # `under_transform(x)`, inlined
        return x.sqrt()
    zero = x == 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, x).sqrt())


def safe_norm(x: Tensor, dim: tuple[int, ...] | None = None) -> Tensor:
    """Returns the Euclidean norm over all dimensions, or over `dim` (kept with size 1); its derivatives at 0 are 0.

    >>> torch.func.hessian(safe_norm)(torch.zeros(1))
    tensor([[0.]])
    """
    if not (x.requires_grad or is_transformed()):
        return _plain_norm(x, dim)
    zero = _plain_norm(x, dim) == 0
    return torch.where(zero, 0.0, _plain_norm(torch.where(zero, 1.0, x), dim))


def safe_norm_squared(x: Tensor) -> Tensor:
    """Returns the square of the Euclidean norm, with the rounding of `safe_norm`.

    >>> torch.func.hessian(safe_norm_squared)(torch.zeros(1))
    tensor([[2.]])
    """
    if not (x.requires_grad or is_transformed()):
        return torch.linalg.vector_norm(x).square()
    length = safe_norm(x)
    return torch.where(length == 0, (x * x).sum(), length.square())


def safe_power(base: Tensor, exponent: float | Tensor) -> Tensor:
    """Returns `base ** exponent`; where the base is 0, the derivatives with respect to the exponent are 0.

    >>> torch.func.hessian(lambda exponent: safe_power(torch.tensor(0.0), exponent))(torch.tensor(2.0))
    tensor(0.)
    """
    if not isinstance(exponent, Tensor) or not under_transform(base, exponent):
        return base**exponent
    zero = base == 0
    return torch.where(zero, base ** exponent.detach(), torch.where(zero, 1.0, base) ** exponent)


def safe_denominator(x: Tensor) -> Tensor:
    """Returns `x` with 1 in place of 0, as a denominator for quotients that are not used where `x` is 0.

    >>> safe_denominator(torch.tensor([0.0, 2.0]))
    tensor([1., 2.])
    """
    return torch.where(x == 0, 1.0, x)


def _plain_norm(x: Tensor, dim: tuple[int, ...] | None) -> Tensor:
    return torch.linalg.vector_norm(x) if dim is None else torch.linalg.vector_norm(x, dim=dim, keepdim=True)
