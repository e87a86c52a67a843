"""Gradient centralization."""

from __future__ import annotations

from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Count
from funcdl.optim.transformation import Transformation
from funcdl.optim.update_rule import Hyper, stateless
from funcdl.tree import Tree


def centralize() -> Transformation:
    """Subtracts from the gradient of each unit its mean, so that the sum of a unit's weights does not change.

    A unit is a slice along the first dimension, such as an output of a linear layer or a convolution. Leaves with less
    than two dimensions pass unchanged.

    >>> import torch
    >>> params = {"w": torch.zeros(2, 3)}
    >>> transformation = centralize()
    >>> grads = {"w": torch.tensor([[1.0, 2.0, 3.0], [4.0, 6.0, 8.0]])}
    >>> transformation.update(grads, transformation.init(params), params)[0]
    {'w': tensor([[-1.,  0.,  1.],
                  [-2.,  0.,  2.]])}

    Yong et al., "Gradient Centralization" (2020), https://arxiv.org/abs/2004.01461. Equals `optax.centralize`.
    """

    def center(g: Tensor) -> Tensor:
        return g - g.mean(dim=tuple(range(1, g.ndim)), keepdim=True) if g.ndim > 1 else g

    def update(grads: Tree, params: Tree, hyper: Hyper, count: Count) -> Tree:
        return tree.map(center, grads)

    return stateless("centralize", {}, update, as_real=False)
