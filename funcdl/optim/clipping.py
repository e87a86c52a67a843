"""Gradients made smaller before an optimizer sees them."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.differentiable import norm
from funcdl.optim.hyperparameters import Number, Scalar, number, once
from funcdl.optim.parts import nothing, scale, scale_all
from funcdl.optim.transformation import Transformation, part
from funcdl.tree import Tree


def clip_by_value(clip_value: Number) -> Transformation:
    """Cuts off each element at `clip_value` and `-clip_value`.

    Args:
        clip_value: the largest magnitude, at least 0. A NaN stays.

    Raises:
        ValueError: `clip_value` is out of range.

    >>> params = {"w": torch.zeros(3)}
    >>> transformation = clip_by_value(1.0)
    >>> transformation.update({"w": torch.tensor([0.5, 2.0, -3.0])}, transformation.init(params), params)[0]
    {'w': tensor([ 0.5000,  1.0000, -1.0000])}

    Equals `torch.nn.utils.clip_grad_value_` and `optax.clip`.
    """

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        limit = h["clip_value"]
        return tree.map(lambda g: torch.clamp(g, -limit.to(g.dtype), limit.to(g.dtype)), grads), memory

    return part("clip_by_value", {"clip_value": number("clip_by_value", "clip_value", clip_value)}, nothing, update)


def clip_by_norm(max_norm: Number) -> Transformation:
    """Shrinks each gradient by itself so that its norm is `max_norm` at most: `u = min(1, max_norm / (|g| + 1e-6)) g`.

    Args:
        max_norm: the largest norm of one leaf, at least 0.

    Raises:
        ValueError: `max_norm` is out of range.

    >>> params = {"a": torch.zeros(2), "b": torch.zeros(1)}
    >>> transformation = clip_by_norm(1.0)
    >>> grads = {"a": torch.tensor([3.0, 4.0]), "b": torch.tensor([0.5])}
    >>> transformation.update(grads, transformation.init(params), params)[0]
    {'a': tensor([0.6000, 0.8000]), 'b': tensor([0.5000])}

    Equals `torch.nn.utils.clip_grad_norm_` of one parameter after the other.
    """

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        return tree.map(lambda g: scale(_shrinkage(h["max_norm"], norm(g)), g), grads), memory

    return part("clip_by_norm", {"max_norm": number("clip_by_norm", "max_norm", max_norm)}, nothing, update)


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
        factor = _shrinkage(h["max_norm"], tree.global_norm(grads))
        return scale_all(factor, grads), memory

    numbers = {"max_norm": number("clip_by_global_norm", "max_norm", max_norm)}
    return part("clip_by_global_norm", numbers, nothing, update)


def adaptive_gradient_clip(clipping: Number = 0.01, eps: Number = 1e-3) -> Transformation:
    """Shrinks the gradient of each unit so that its norm is `clipping` times the norm of the unit's weights at most.

    `u = g` where `|g| < clipping max(|w|, eps)`, else `g clipping max(|w|, eps) / |g|`. A unit is what has one index in
    the first dimension, as an output of a linear layer or a convolution has; of a leaf with less than two dimensions
    it is the whole.

    Args:
        clipping: largest ratio of the two norms, at least 0.
        eps: the norm that weights have at least, so that weights of zero can begin to learn; at least 0.

    Raises:
        ValueError: a number is out of range.

    >>> params = {"w": torch.tensor([[3.0, 4.0], [6.0, 8.0]])}
    >>> transformation = adaptive_gradient_clip(0.1)
    >>> transformation.update({"w": torch.tensor([[0.0, 5.0], [0.0, 0.5]])}, transformation.init(params), params)[0]
    {'w': tensor([[0.0000, 0.5000],
                  [0.0000, 0.5000]])}

    Brock et al., "High-Performance Large-Scale Image Recognition Without Normalization" (2021),
    https://arxiv.org/abs/2102.06171. Equals `optax.adaptive_grad_clip`, which expects the units in the last dimension.
    """

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        def clip(g: Tensor, p: Tensor) -> Tensor:
            length, weight = _unit_norm(g), _unit_norm(p)
            limit = h["clipping"].to(length.dtype) * torch.maximum(weight, h["eps"].to(length.dtype))
            return torch.where(length < limit, g, g * (limit / length.clamp(min=1e-6)))

        return tree.map(clip, grads, params), memory

    numbers = {
        "clipping": number("adaptive_gradient_clip", "clipping", clipping),
        "eps": number("adaptive_gradient_clip", "eps", eps),
    }
    return part("adaptive_gradient_clip", numbers, nothing, update, as_real=False)


def _shrinkage(max_norm: Scalar, length: Tensor) -> Scalar:
    return once((max_norm / (length.double() + 1e-6)).clamp(max=1))


def _unit_norm(leaf: Tensor) -> Tensor:
    return norm(leaf, tuple(range(1, leaf.ndim)) if leaf.ndim > 1 else None)
