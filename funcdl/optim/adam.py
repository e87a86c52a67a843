"""Adam, and AdamW, which decays the weights outside of the averages."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.differentiable import recorded, root
from funcdl.optim.hyperparameters import Number, Scalar, number, numbers_of, once
from funcdl.optim.parts import add_decayed_weights, average, in_dtypes, scale_by_learning_rate
from funcdl.optim.transformation import Transformation, chain, part
from funcdl.tree import Tree


def adam(
    lr: Number = 1e-3,
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
) -> Transformation:
    """Adam: `p <- p - lr d`, with the direction `d` of `scale_by_adam` for the gradient `g + weight_decay p`.

    Args:
        lr: learning rate, at least 0.
        betas: decay of the averages of the gradient and of its square, each in [0, 1).
        eps: what is added to the root, at least 0.
        weight_decay: L2 penalty, at least 0; for the decoupled kind see `adamw`.
        amsgrad: whether to divide by the largest average so far.
        maximize: whether to ascend.

    Returns:
        A transformation, the numbers of which are `weight_decay`, `beta1`, `beta2`, `eps` and `lr`.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.adam(lr=0.1), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, 20.0])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.9000, 0.9000])}

    Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015), https://arxiv.org/abs/1412.6980.
    Equals `torch.optim.Adam`.
    """
    return chain(
        add_decayed_weights(weight_decay),
        scale_by_adam(betas, eps, amsgrad),
        scale_by_learning_rate(lr),
        maximize=maximize,
    )


def adamw(
    lr: Number = 1e-3,
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number = 1e-8,
    weight_decay: Number = 1e-2,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
) -> Transformation:
    """Adam with decoupled weight decay: `p <- p - lr (d + weight_decay p)`, `d` the direction of `scale_by_adam`.

    Args:
        lr: learning rate, at least 0.
        betas: decay of the averages of the gradient and of its square, each in [0, 1).
        eps: what is added to the root, at least 0.
        weight_decay: factor of the parameters, at least 0.
        amsgrad: whether to divide by the largest average so far.
        maximize: whether to ascend; the weights decay all the same.

    Returns:
        A transformation, the numbers of which are `beta1`, `beta2`, `eps`, `weight_decay` and `lr`.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.adamw(lr=0.1, weight_decay=1.0), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, 20.0])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.8000, 0.8000])}

    Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), https://arxiv.org/abs/1711.05101.
    Equals `torch.optim.AdamW`.
    """
    return chain(
        scale_by_adam(betas, eps, amsgrad),
        add_decayed_weights(weight_decay),
        scale_by_learning_rate(lr),
        maximize=maximize,
    )


def scale_by_adam(
    betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-8, amsgrad: bool = False
) -> Transformation:
    """Divides an average of the gradient by the root of an average of its square, both corrected for their start.

    `m <- b1 m + (1 - b1) g`, `v <- b2 v + (1 - b2) g^2`, `d = m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)` at update
    number `t = 1, 2, ...`; with `amsgrad` the largest `v` so far stands in place of `v` in `d`.

    Args:
        betas: `b1` and `b2`, each in [0, 1).
        eps: what is added to the root, at least 0.
        amsgrad: whether to keep the largest `v`.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_adam()
    >>> transformation.update({"w": torch.tensor([3.0, -4.0])}, transformation.init(params), params)[0]
    {'w': tensor([ 1., -1.])}
    """
    beta1, beta2 = numbers_of("scale_by_adam", "betas", betas, 2)
    numbers = {
        "beta1": number("scale_by_adam", "betas[0]", beta1, high=1.0),
        "beta2": number("scale_by_adam", "betas[1]", beta2, high=1.0),
        "eps": number("scale_by_adam", "eps", eps),
    }
    averages = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if amsgrad else ("exp_avg", "exp_avg_sq")

    def init(params: Tree) -> dict[str, Tree]:
        return {name: tree.zeros_like(params) for name in averages}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        beta1, beta2 = h["beta1"], h["beta2"]
        scale1 = in_dtypes(once(1 / (1 - beta1 ** (count + 1))))
        scale2 = in_dtypes(once(1 / (1 - beta2 ** (count + 1)).sqrt()))
        eps = in_dtypes(h["eps"])
        exp_avg = average(memory["exp_avg"], grads, 1 - beta1)
        largest = exp_avg_sq = average(memory["exp_avg_sq"], tree.map(torch.square, grads), 1 - beta2)
        new_memory = {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}
        if amsgrad:
            largest = new_memory["max_exp_avg_sq"] = tree.map(torch.maximum, memory["max_exp_avg_sq"], exp_avg_sq)
        if recorded(*tree.leaves((new_memory, h))):
            updates = tree.map(
                lambda m, v: scale1(m.dtype) * m / (root(v) * scale2(v.dtype) + eps(v.dtype)), exp_avg, largest
            )
        else:  # in place on what was just made: fresh memory costs an eager update as much as arithmetic
            updates = tree.map(
                lambda m, v: (scale1(m.dtype) * m).div_(v.sqrt().mul_(scale2(v.dtype)).add_(eps(v.dtype))),
                exp_avg,
                largest,
            )
        return updates, new_memory

    return part("scale_by_adam", numbers, init, update)
