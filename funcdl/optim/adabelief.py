"""AdaBelief: Adam that divides by how far gradients stray from their average."""

from __future__ import annotations

from torch import Tensor

from funcdl import tree
from funcdl.optim.differentiable import root
from funcdl.optim.hyperparameters import Number, Scalar, number, numbers_of, once
from funcdl.optim.parts import average, scale, scale_all, scale_by_learning_rate
from funcdl.optim.transformation import Transformation, chain, part
from funcdl.tree import Tree


def adabelief(
    lr: Number = 1e-3,
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number = 1e-16,
    eps_root: Number = 1e-16,
    nesterov: bool = False,
    *,
    maximize: bool = False,
) -> Transformation:
    """AdaBelief: `p <- p - lr d`, with the direction `d` of `scale_by_belief`.

    Args:
        lr: learning rate, at least 0.
        betas: decay of the averages of the gradient and of its squared deviation, each in [0, 1).
        eps: what is added to the root, at least 0.
        eps_root: what is added to the average under the root at each update, at least 0.
        nesterov: whether to look ahead by one step.
        maximize: whether to ascend.

    Returns:
        A transformation, the numbers of which are `beta1`, `beta2`, `eps`, `eps_root` and `lr`.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.adabelief(lr=0.1), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, -20.0])}, optimizer.init(params), params)
    >>> updates
    {'w': tensor([-0.1111,  0.1111])}

    Zhuang et al., "AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients" (2020),
    https://arxiv.org/abs/2010.07468. Equals `optax.adabelief`.
    """
    return chain(scale_by_belief(betas, eps, eps_root, nesterov), scale_by_learning_rate(lr), maximize=maximize)


def scale_by_belief(
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number = 1e-16,
    eps_root: Number = 1e-16,
    nesterov: bool = False,
) -> Transformation:
    """Divides an average of the gradient by the root of an average of its squared deviation from that average.

    `m <- b1 m + (1 - b1) g`, `s <- b2 s + (1 - b2) (g - m)^2 + eps_root`,
    `d = m / (1 - b1^t) / (sqrt(s / (1 - b2^t)) + eps)` at update number `t = 1, 2, ...`; with `nesterov`,
    `b1 m / (1 - b1^(t+1)) + (1 - b1) g / (1 - b1^t)` stands in place of `m / (1 - b1^t)`.

    Args:
        betas: `b1` and `b2`, each in [0, 1).
        eps: what is added to the root, at least 0.
        eps_root: what is added to `s` at each update, and so piles up to `eps_root / (1 - b2)`; at least 0.
        nesterov: whether to look ahead by one step.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_belief(betas=(0.5, 0.999))
    >>> transformation.update({"w": torch.tensor([3.0, -4.0])}, transformation.init(params), params)[0]
    {'w': tensor([ 2., -2.])}

    Equals `optax.scale_by_belief`.
    """
    beta1, beta2 = numbers_of("scale_by_belief", "betas", betas, 2)
    numbers = {
        "beta1": number("scale_by_belief", "betas[0]", beta1, high=1.0),
        "beta2": number("scale_by_belief", "betas[1]", beta2, high=1.0),
        "eps": number("scale_by_belief", "eps", eps),
        "eps_root": number("scale_by_belief", "eps_root", eps_root),
    }

    def init(params: Tree) -> dict[str, Tree]:
        return {"exp_avg": tree.zeros_like(params), "exp_avg_var": tree.zeros_like(params)}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        beta1, beta2, eps, eps_root = h["beta1"], h["beta2"], h["eps"], h["eps_root"]
        corrected = once(1 / (1 - beta1 ** (count + 1)))
        root_corrected = once(1 / (1 - beta2 ** (count + 1)).sqrt())
        exp_avg = average(memory["exp_avg"], grads, 1 - beta1)
        deviation = tree.map(lambda g, m: (g - m).square(), grads, exp_avg)
        exp_avg_var = tree.map(lambda s: s + eps_root.to(s.dtype), average(memory["exp_avg_var"], deviation, 1 - beta2))
        if nesterov:
            ahead, share = once(beta1 / (1 - beta1 ** (count + 2))), once((1 - beta1) * corrected)
            directions = tree.map(lambda m, g: scale(ahead, m) + scale(share, g), exp_avg, grads)
        else:
            directions = scale_all(corrected, exp_avg)
        updates = tree.map(lambda d, s: d / (scale(root_corrected, root(s)) + eps.to(s.dtype)), directions, exp_avg_var)
        return updates, {"exp_avg": exp_avg, "exp_avg_var": exp_avg_var}

    return part("scale_by_belief", numbers, init, update)
