"""The trust ratio of LAMB and LARS: the norm of a leaf divided by the norm of its gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_nonnegative
from funcdl.optim.safe_math import safe_denominator, safe_norm, under_transform
from funcdl.optim.transformation import Transformation
from funcdl.optim.update_rule import Hyper, stateless
from funcdl.tree import Tree


def scale_by_trust_ratio(
    trust_coefficient: ScalarOrSchedule = 1.0, eps: ScalarOrSchedule = 0.0, min_norm: ScalarOrSchedule = 0.0
) -> Transformation:
    """Scales the gradient of each leaf to the norm of the leaf: `u = trust_coefficient |p| / (|g| + eps) g`.

    Where `|p|` or `|g|` is 0 the ratio is 1, so that a leaf of zeros can change. One NaN in the gradient of a
    leaf makes the whole leaf NaN.

    Args:
        trust_coefficient: factor of the ratio, at least 0.
        eps: added to the norm of the gradient, at least 0.
        min_norm: lower bound of both norms, at least 0.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> params = {"bias": torch.zeros(2), "w": torch.tensor([3.0, 4.0])}
    >>> transformation = scale_by_trust_ratio()
    >>> grads = {"bias": torch.tensor([1.0, -2.0]), "w": torch.tensor([0.6, -0.8])}
    >>> transformation.update(grads, transformation.init(params), params)[0]
    {'bias': tensor([ 1., -2.]), 'w': tensor([ 3., -4.])}

    Equals `optax.scale_by_trust_ratio`.
    """
    hyperparameters = check_nonnegative(
        "scale_by_trust_ratio", trust_coefficient=trust_coefficient, eps=eps, min_norm=min_norm
    )

    def update(grads: Tree, params: Tree, hyper: Hyper, count: Count) -> Tree:
        coefficient, eps, min_norm = hyper["trust_coefficient"], hyper["eps"], hyper["min_norm"]
        differentiated = under_transform(*tree.leaves((grads, params, hyper)))
        norm = safe_norm if differentiated else torch.linalg.vector_norm

        def scaled(g: Tensor, p: Tensor) -> Tensor:
            g_norm, p_norm = (norm(x).clamp(min=min_norm.to(x.dtype)) for x in (g, p))
            divisor = g_norm + eps.to(g.dtype)
            ratio = coefficient.to(g.dtype) * p_norm / (safe_denominator(divisor) if differentiated else divisor)
            return g * torch.where((g_norm == 0) | (p_norm == 0), 1.0, ratio)

        return tree.map(scaled, grads, params)

    return stateless("scale_by_trust_ratio", hyperparameters, update)
