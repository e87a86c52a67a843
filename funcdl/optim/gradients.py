"""Gradients put right before an optimizer sees them."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Scalar
from funcdl.optim.parts import nothing
from funcdl.optim.transformation import Transformation, part
from funcdl.tree import Tree


def centralize() -> Transformation:
    """Takes from the gradient of each unit its mean, so that the weights of a unit keep their sum.

    A unit is what has one index in the first dimension, as an output of a linear layer or a convolution has. Leaves
    with less than two dimensions stay as they are.

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

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        return tree.map(center, grads), memory

    return part("centralize", {}, nothing, update, as_real=False)


def zero_nans() -> Transformation:
    """Replaces each NaN by 0, and counts them.

    Returns:
        A transformation, the state of which has `memory["nans"]`: for each leaf how many of its gradient's elements
        were replaced so far, a 0-dim int64 tensor. Infinities stay: clip them, or see `apply_if_finite`.

    >>> params = {"w": torch.zeros(3)}
    >>> transformation = zero_nans()
    >>> grads = {"w": torch.tensor([1.0, float("nan"), 3.0])}
    >>> updates, state = transformation.update(grads, transformation.init(params), params)
    >>> updates, state.memory["nans"]
    ({'w': tensor([1., 0., 3.])}, {'w': tensor(1)})

    Equals `optax.zero_nans`, which keeps whether the last update had one.
    """

    def init(params: Tree) -> dict[str, Tree]:
        return {"nans": tree.map(lambda p: p.new_zeros((), dtype=torch.int64), params)}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        found = tree.map(torch.isnan, grads)
        updates = tree.map(lambda nan, g: torch.where(nan, 0, g), found, grads)
        return updates, {"nans": tree.map(lambda so_far, nan: so_far + nan.sum(), memory["nans"], found)}

    return part("zero_nans", {}, init, update, as_real=False)
