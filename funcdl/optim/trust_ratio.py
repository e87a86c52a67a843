"""LAMB and LARS: each leaf moves in proportion to its own norm, for very large batches."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.adam import scale_by_adam
from funcdl.optim.differentiable import nonzero, norm, recorded
from funcdl.optim.hyperparameters import Number, Scalar, number
from funcdl.optim.parts import add_decayed_weights, nothing, scale_by_learning_rate
from funcdl.optim.sgd import trace
from funcdl.optim.transformation import Transformation, chain, part
from funcdl.tree import Tree


def lamb(
    lr: Number = 1e-3,
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number = 1e-6,
    weight_decay: Number = 0.0,
    *,
    maximize: bool = False,
) -> Transformation:
    """LAMB: `p <- p - lr r (d + weight_decay p)`, `d` of `scale_by_adam`, `r` the leaf's trust ratio |p| / |d + ...|.

    Args:
        lr: the length of a leaf's step as a share of its norm, at least 0.
        betas: decay of the averages of the gradient and of its square, each in [0, 1).
        eps: what is added to the root, at least 0.
        weight_decay: factor of the parameters (decoupled), at least 0.
        maximize: whether to ascend; the weights decay all the same.

    Returns:
        A transformation, the numbers of which are `beta1`, `beta2`, `1.eps` of Adam, `weight_decay`,
        `trust_coefficient`, `2.eps` of the ratio, `min_norm` and `lr`.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.lamb(lr=0.1), {"w": torch.tensor([3.0, 4.0])}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, -2.0])}, optimizer.init(params), params)
    >>> updates
    {'w': tensor([-0.3536,  0.3536])}

    You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 Minutes" (2020),
    https://arxiv.org/abs/1904.00962. Equals `optax.lamb`; the paper's bound on |p| is left out in both.
    """
    return chain(
        scale_by_adam(betas, eps),
        add_decayed_weights(weight_decay),
        scale_by_trust_ratio(),
        scale_by_learning_rate(lr),
        maximize=maximize,
    )


def lars(
    lr: Number = 1e-3,
    momentum: Number = 0.9,
    weight_decay: Number = 0.0,
    trust_coefficient: Number = 1e-3,
    eps: Number = 0.0,
    nesterov: bool = False,
    *,
    maximize: bool = False,
) -> Transformation:
    """LARS: `b <- momentum b - lr r (g + weight_decay p)` and `p <- p + b`, `r` the trust ratio of the leaf.

    Args:
        lr: learning rate, at least 0. As in the paper, it acts before the momentum: past steps keep the rate that they
            were taken with, unlike in `sgd`.
        momentum: decay of the sum of steps, at least 0. With the float 0 there is no such sum, and `momentum` is no
            number that can be replaced later.
        weight_decay: L2 penalty, at least 0; it counts in the norm of the gradient.
        trust_coefficient: factor of the ratio, at least 0.
        eps: what is added to the norm of the gradient, at least 0.
        nesterov: whether to look ahead by one step; needs a momentum.
        maximize: whether to ascend.

    Returns:
        A transformation, the numbers of which are `weight_decay`, `trust_coefficient`, `eps`, `min_norm`, `lr`,
        `momentum` and `dampening`.

    Raises:
        ValueError: a number is out of range, or `nesterov` is without momentum.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.lars(lr=1.0, trust_coefficient=0.1), {"w": torch.tensor([3.0, 4.0])}
    >>> updates, state = optimizer.update({"w": torch.tensor([0.6, -0.8])}, optimizer.init(params), params)
    >>> updates
    {'w': tensor([-0.3000,  0.4000])}

    You et al., "Large Batch Training of Convolutional Networks" (2017), https://arxiv.org/abs/1708.03888.
    Equals `optax.lars`. It takes biases and norms' scales in as well; to leave them out, as is usual, give them a
    transformation of their own.
    """
    without_momentum = isinstance(momentum, (int, float)) and momentum == 0
    if nesterov and without_momentum:
        raise ValueError(
            f"lars: nesterov=True with momentum={momentum} has nothing to look ahead with; pass a momentum"
        )
    return chain(
        add_decayed_weights(weight_decay),
        scale_by_trust_ratio(trust_coefficient, eps),
        scale_by_learning_rate(lr),
        *([] if without_momentum else [trace(momentum, nesterov=nesterov)]),
        maximize=maximize,
    )


def scale_by_trust_ratio(trust_coefficient: Number = 1.0, eps: Number = 0.0, min_norm: Number = 0.0) -> Transformation:
    """Scales the gradient of each leaf to the norm of the leaf: `u = trust_coefficient |p| / (|g| + eps) g`.

    Where `|p|` or `|g|` is 0 the ratio is 1, so that a leaf of zeros can leave its place. One NaN in the gradient of a
    leaf makes the whole leaf NaN.

    Args:
        trust_coefficient: factor of the ratio, at least 0.
        eps: what is added to the norm of the gradient, at least 0.
        min_norm: the least that both norms count as, at least 0.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> params = {"bias": torch.zeros(2), "w": torch.tensor([3.0, 4.0])}
    >>> transformation = scale_by_trust_ratio()
    >>> grads = {"bias": torch.tensor([1.0, -2.0]), "w": torch.tensor([0.6, -0.8])}
    >>> transformation.update(grads, transformation.init(params), params)[0]
    {'bias': tensor([ 1., -2.]), 'w': tensor([ 3., -4.])}

    Equals `optax.scale_by_trust_ratio`.
    """
    numbers = {
        "trust_coefficient": number("scale_by_trust_ratio", "trust_coefficient", trust_coefficient),
        "eps": number("scale_by_trust_ratio", "eps", eps),
        "min_norm": number("scale_by_trust_ratio", "min_norm", min_norm),
    }

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        coefficient, eps, min_norm = h["trust_coefficient"], h["eps"], h["min_norm"]
        differentiated = recorded(*tree.leaves((grads, params, h)))
        length = norm if differentiated else torch.linalg.vector_norm

        def scaled(g: Tensor, p: Tensor) -> Tensor:
            g_norm, p_norm = (length(x).clamp(min=min_norm.to(x.dtype)) for x in (g, p))
            divisor = g_norm + eps.to(g.dtype)
            ratio = coefficient.to(g.dtype) * p_norm / (nonzero(divisor) if differentiated else divisor)
            return g * torch.where((g_norm == 0) | (p_norm == 0), 1.0, ratio)

        return tree.map(scaled, grads, params), memory

    return part("scale_by_trust_ratio", numbers, nothing, update)
