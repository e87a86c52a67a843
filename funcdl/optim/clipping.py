"""Gradient clipping: by value, by the norm of each leaf, by the global norm, by the norm of the weights."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Count, Scalar, ScalarOrSchedule, check_nonnegative, materialize
from funcdl.optim.safe_math import safe_norm
from funcdl.optim.transformation import Transformation
from funcdl.optim.tree_math import scale, tree_scale
from funcdl.optim.update_rule import Hyper, stateless
from funcdl.tree import Tree


def clip_by_value(clip_value: ScalarOrSchedule) -> Transformation:
    """Clamps each element to between `-clip_value` and `clip_value`.

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

    def update(grads: Tree, params: Tree, hyper: Hyper, count: Count) -> Tree:
        limit = hyper["clip_value"]
        return tree.map(lambda g: torch.clamp(g, -limit.to(g.dtype), limit.to(g.dtype)), grads)

    return stateless("clip_by_value", check_nonnegative("clip_by_value", clip_value=clip_value), update)


def clip_by_norm(max_norm: ScalarOrSchedule) -> Transformation:
    """Scales the gradient of each leaf down to a norm of at most `max_norm`: `u = min(1, max_norm / (|g| + 1e-6)) g`.

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

    def update(grads: Tree, params: Tree, hyper: Hyper, count: Count) -> Tree:
        return tree.map(lambda g: scale(_clip_factor(hyper["max_norm"], safe_norm(g)), g), grads)

    return stateless("clip_by_norm", check_nonnegative("clip_by_norm", max_norm=max_norm), update)


def clip_by_global_norm(max_norm: ScalarOrSchedule) -> Transformation:
    """Scales all gradients down by one factor, to a norm over all leaves of at most `max_norm`.

    `u = min(1, max_norm / (|g| + 1e-6)) g`; because of torch's 1e-6 the norm becomes a little less than `max_norm`, and
    gradients of exactly that norm are also scaled.

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

    Equals `torch.nn.utils.clip_grad_norm_`. As there, a norm that is not finite makes all gradients NaN or 0.
    """

    def update(grads: Tree, params: Tree, hyper: Hyper, count: Count) -> Tree:
        factor = _clip_factor(hyper["max_norm"], tree.global_norm(grads))
        return tree_scale(factor, grads)

    return stateless("clip_by_global_norm", check_nonnegative("clip_by_global_norm", max_norm=max_norm), update)


def adaptive_gradient_clip(clipping: ScalarOrSchedule = 0.01, eps: ScalarOrSchedule = 1e-3) -> Transformation:
    """Scales the gradient of each unit down to a norm of at most `clipping` times the norm of the unit's weights.

    `u = g` where `|g| < clipping max(|w|, eps)`, else `g clipping max(|w|, eps) / |g|`. A unit is a slice along the
    first dimension, such as an output of a linear layer or a convolution; a leaf with less than two dimensions is one
    unit.

    Args:
        clipping: largest ratio of the two norms, at least 0.
        eps: lower bound of the norm of the weights, so that weights of zero can begin to learn; at least 0.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> params = {"w": torch.tensor([[3.0, 4.0], [6.0, 8.0]])}
    >>> transformation = adaptive_gradient_clip(0.1)
    >>> transformation.update({"w": torch.tensor([[0.0, 5.0], [0.0, 0.5]])}, transformation.init(params), params)[0]
    {'w': tensor([[0.0000, 0.5000],
                  [0.0000, 0.5000]])}

    Brock et al., "High-Performance Large-Scale Image Recognition Without Normalization" (2021),
    https://arxiv.org/abs/2102.06171. Equals `optax.adaptive_grad_clip`, which expects the units in the last dimension.
    """

    def update(grads: Tree, params: Tree, hyper: Hyper, count: Count) -> Tree:
        def clip(g: Tensor, p: Tensor) -> Tensor:
            g_norm, p_norm = _unit_norm(g), _unit_norm(p)
            limit = hyper["clipping"].to(g_norm.dtype) * torch.maximum(p_norm, hyper["eps"].to(g_norm.dtype))
            return torch.where(g_norm < limit, g, g * (limit / g_norm.clamp(min=1e-6)))

        return tree.map(clip, grads, params)

    hyperparameters = check_nonnegative("adaptive_gradient_clip", clipping=clipping, eps=eps)
    return stateless("adaptive_gradient_clip", hyperparameters, update, as_real=False)


def _clip_factor(max_norm: Scalar, norm: Tensor) -> Scalar:
    return materialize((max_norm / (norm.double() + 1e-6)).clamp(max=1))


def _unit_norm(leaf: Tensor) -> Tensor:
    return safe_norm(leaf, tuple(range(1, leaf.ndim)) if leaf.ndim > 1 else None)
