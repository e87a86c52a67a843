"""signSGD: steps of one length in every coordinate, along the signs of the gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule
from funcdl.optim.learning_rate import scale_by_learning_rate
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.update_rule import Hyper, stateless
from funcdl.tree import Tree


def sign_sgd(lr: ScalarOrSchedule = 1e-3, *, maximize: bool = False) -> Transformation:
    """Descent by the signs of the gradient: `p <- p - lr sign(g)`.

    Args:
        lr: length of the step in each coordinate, at least 0.
        maximize: whether to ascend.

    Returns:
        A transformation with the hyperparameter `lr`.

    Raises:
        ValueError: `lr` is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.sign_sgd(lr=0.1), {"w": torch.ones(2)}
    >>> optimizer.update({"w": torch.tensor([3.0, -0.2])}, optimizer.init(params), params)[0]
    {'w': tensor([-0.1000,  0.1000])}

    Bernstein et al., "signSGD: Compressed Optimisation for Non-Convex Problems" (2018),
    https://arxiv.org/abs/1802.04434. Equals `optax.sign_sgd` for real parameters; for complex ones it takes the
    signs of real and imaginary part, where optax takes `g / |g|`.
    """
    return chain(scale_by_sign(), scale_by_learning_rate(lr), maximize=maximize)


def scale_by_sign() -> Transformation:
    """Takes the sign of each element: `u = sign(g)`, 0 where `g` is 0 and NaN where it is NaN.

    >>> import torch
    >>> params = {"w": torch.ones(3)}
    >>> transformation = scale_by_sign()
    >>> transformation.update({"w": torch.tensor([3.0, 0.0, -0.2])}, transformation.init(params), params)[0]
    {'w': tensor([ 1.,  0., -1.])}

    Equals `optax.scale_by_sign`.
    """

    def update(grads: Tree, params: Tree, hyper: Hyper, count: Count) -> Tree:
        return tree.map(sign_or_nan, grads)

    return stateless("scale_by_sign", {}, update)


def sign_or_nan(g: Tensor) -> Tensor:
    """Returns the sign of each element, NaN for NaN: `torch.sign` would hide it behind a 0.

    >>> sign_or_nan(torch.tensor([-2.0, float("nan")]))
    tensor([-1., nan])
    """
    return torch.where(g.isnan(), g, g.sign())
