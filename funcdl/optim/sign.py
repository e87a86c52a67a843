"""Steps of one length in every coordinate: the sign of the gradient, or of an average of it (Lion)."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Number, Scalar, number, numbers_of
from funcdl.optim.parts import add_decayed_weights, average, nothing, scale_by_learning_rate
from funcdl.optim.transformation import Transformation, chain, part
from funcdl.tree import Tree


def sign_sgd(lr: Number = 1e-3, *, maximize: bool = False) -> Transformation:
    """Descent by the signs of the gradient: `p <- p - lr sign(g)`.

    Args:
        lr: length of the step in each coordinate, at least 0.
        maximize: whether to ascend.

    Returns:
        A transformation, the only number of which is `lr`.

    Raises:
        ValueError: `lr` is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.sign_sgd(lr=0.1), {"w": torch.ones(2)}
    >>> optimizer.update({"w": torch.tensor([3.0, -0.2])}, optimizer.init(params), params)[0]
    {'w': tensor([-0.1000,  0.1000])}

    Bernstein et al., "signSGD: Compressed Optimisation for Non-Convex Problems" (2018),
    https://arxiv.org/abs/1802.04434. Equals `optax.sign_sgd` for real parameters; of complex ones both parts have a
    sign here, where optax takes `g / |g|`.
    """
    return chain(scale_by_sign(), scale_by_learning_rate(lr), maximize=maximize)


def lion(
    lr: Number = 1e-4,
    betas: tuple[Number, Number] = (0.9, 0.99),
    weight_decay: Number = 1e-3,
    *,
    maximize: bool = False,
) -> Transformation:
    """Lion: `p <- p - lr (d + weight_decay p)`, with the signs `d` of `scale_by_lion`.

    Every coordinate moves by about `lr`, so `lr` wants to be 3 to 10 times less than for Adam, and `weight_decay` as
    many times more.

    Args:
        lr: length of the step in each coordinate, at least 0.
        betas: weight of the average against the gradient in the direction, and decay of the average, each in [0, 1).
        weight_decay: factor of the parameters (decoupled), at least 0.
        maximize: whether to ascend; the weights decay all the same.

    Returns:
        A transformation, the numbers of which are `beta1`, `beta2`, `weight_decay` and `lr`.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.lion(lr=0.1, weight_decay=1.0), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([3.0, -0.2])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.8000, 1.0000])}

    Chen et al., "Symbolic Discovery of Optimization Algorithms" (2023), https://arxiv.org/abs/2302.06675.
    Equals `optax.lion`, also in its `weight_decay` of 0.001, where the authors' code has 0.
    """
    return chain(scale_by_lion(betas), add_decayed_weights(weight_decay), scale_by_learning_rate(lr), maximize=maximize)


def scale_by_sign() -> Transformation:
    """Takes the sign of each element: `u = sign(g)`, 0 where `g` is 0 and NaN where it is NaN.

    >>> import torch
    >>> params = {"w": torch.ones(3)}
    >>> transformation = scale_by_sign()
    >>> transformation.update({"w": torch.tensor([3.0, 0.0, -0.2])}, transformation.init(params), params)[0]
    {'w': tensor([ 1.,  0., -1.])}

    Equals `optax.scale_by_sign`.
    """

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        return tree.map(_sign, grads), memory

    return part("scale_by_sign", {}, nothing, update)


def scale_by_lion(betas: tuple[Number, Number] = (0.9, 0.99)) -> Transformation:
    """Takes the sign of the gradient blended with an average of the past ones.

    `u = sign(b1 m + (1 - b1) g)`, and then `m <- b2 m + (1 - b2) g`.

    Args:
        betas: `b1` and `b2`, each in [0, 1).

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_lion()
    >>> transformation.update({"w": torch.tensor([3.0, -0.2])}, transformation.init(params), params)[0]
    {'w': tensor([ 1., -1.])}

    Equals `optax.scale_by_lion`.
    """
    beta1, beta2 = numbers_of("scale_by_lion", "betas", betas, 2)
    numbers = {
        "beta1": number("scale_by_lion", "betas[0]", beta1, high=1.0),
        "beta2": number("scale_by_lion", "betas[1]", beta2, high=1.0),
    }

    def init(params: Tree) -> dict[str, Tree]:
        return {"exp_avg": tree.zeros_like(params)}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        updates = tree.map(_sign, average(memory["exp_avg"], grads, 1 - h["beta1"]))
        return updates, {"exp_avg": average(memory["exp_avg"], grads, 1 - h["beta2"])}

    return part("scale_by_lion", numbers, init, update)


def _sign(g: Tensor) -> Tensor:
    return torch.where(g.isnan(), g, g.sign())  # torch.sign hides a NaN behind a 0
