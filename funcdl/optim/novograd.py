"""NovoGrad: gradients normalized leaf by leaf, with one second moment per leaf."""

from __future__ import annotations

import torch

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_betas, check_nonnegative, materialize
from funcdl.optim.learning_rate import scale_by_learning_rate
from funcdl.optim.safe_math import safe_norm_squared, safe_sqrt
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.tree_math import scale, tree_lerp
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.tree import Tree


def novograd(
    lr: ScalarOrSchedule = 1e-3,
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.9, 0.25),
    eps: ScalarOrSchedule = 1e-6,
    weight_decay: ScalarOrSchedule = 0.0,
    *,
    maximize: bool = False,
) -> Transformation:
    """NovoGrad: `p <- p - lr d`, with the direction `d` of `scale_by_novograd`. Its state is half of Adam's.

    Args:
        lr: learning rate, at least 0.
        betas: decay of the sum of directions and of the average of the squared norm, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: factor of the parameters, which are added to the scaled gradient, at least 0.
        maximize: whether to ascend; the weights decay in either case.

    Returns:
        A transformation with the hyperparameters `beta1`, `beta2`, `eps`, `weight_decay` and `lr`.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.novograd(lr=0.1), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([3.0, -4.0])}, optimizer.init(params), params)
    >>> updates
    {'w': tensor([-0.0600,  0.0800])}

    Ginsburg et al., "Stochastic Gradient Methods with Layer-wise Adaptive Moments for Training of Deep Networks"
    (2019), https://arxiv.org/abs/1905.11286. Equals `optax.novograd`.
    """
    return chain(scale_by_novograd(betas, eps, weight_decay), scale_by_learning_rate(lr), maximize=maximize)


def scale_by_novograd(
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.9, 0.25),
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
) -> Transformation:
    """Sums up, with decay, gradients that are divided by the square root of an average of their leaf's squared norm.

    `v <- b2 v + (1 - b2) |g|^2`, the first time `v = |g|^2`, and
    `m <- b1 m + g / (sqrt(v) + eps) + weight_decay p`; `d = m`. One NaN in the gradient of a leaf makes the
    whole leaf NaN.

    Args:
        betas: `b1` and `b2`, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: factor of the parameters, at least 0.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_novograd(weight_decay=1.0)
    >>> transformation.update({"w": torch.tensor([3.0, -4.0])}, transformation.init(params), params)[0]
    {'w': tensor([1.6000, 0.2000])}

    Equals `optax.scale_by_novograd`.
    """
    hyperparameters = check_betas("scale_by_novograd", betas) | check_nonnegative(
        "scale_by_novograd", eps=eps, weight_decay=weight_decay
    )

    def init(params: Tree) -> Buffers:
        return {"exp_avg": tree.zeros_like(params), "norm_sq": tree.map(lambda p: p.new_zeros(()), params)}

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        beta1, eps, weight_decay = hyper["beta1"], hyper["eps"], hyper["weight_decay"]
        weight = materialize(torch.where(count == 0, 1.0, 1 - hyper["beta2"]))
        norm_sq = tree_lerp(buffers["norm_sq"], tree.map(safe_norm_squared, grads), weight)
        exp_avg = tree.map(
            lambda m, g, v, p: scale(beta1, m) + g / (safe_sqrt(v) + eps.to(v.dtype)) + scale(weight_decay, p),
            buffers["exp_avg"],
            grads,
            norm_sq,
            params,
        )
        return exp_avg, {"exp_avg": exp_avg, "norm_sq": norm_sq}

    return make_transformation("scale_by_novograd", hyperparameters, init, update)
