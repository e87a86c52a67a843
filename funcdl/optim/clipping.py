"""Gradients made smaller before an optimizer sees them."""

from __future__ import annotations

from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Number, Scalar, number, once
from funcdl.optim.parts import nothing, scale
from funcdl.optim.transformation import Transformation, part
from funcdl.tree import Tree


def clip_by_global_norm(max_norm: Number) -> Transformation:
    """Shrinks all gradients together so that their norm as one vector is `max_norm` at most.

    `u = min(1, max_norm / (|g| + 1e-6)) g`; because of torch's 1e-6 the norm ends a little below `max_norm`, and
    gradients of exactly that norm are shrunk too.

    Args:
        max_norm: the largest norm, at least 0.

    Raises:
        ValueError: `max_norm` is out of range.

    >>> import torch
    >>> params = {"a": torch.zeros(1), "b": torch.zeros(1)}
    >>> transformation = clip_by_global_norm(1.0)
    >>> grads = {"a": torch.tensor([3.0]), "b": torch.tensor([4.0])}
    >>> transformation.update(grads, transformation.init(params), params)[0]
    {'a': tensor([0.6000]), 'b': tensor([0.8000])}

    Equals `torch.nn.utils.clip_grad_norm_`, which also leaves a norm that is not finite to spoil all gradients.
    """

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        coefficient = once((h["max_norm"] / (tree.global_norm(grads).double() + 1e-6)).clamp(max=1))
        return tree.map(lambda g: scale(coefficient, g), grads), memory

    numbers = {"max_norm": number("clip_by_global_norm", "max_norm", max_norm)}
    return part("clip_by_global_norm", numbers, nothing, update)
