"""Prodigy: Adam that finds its own learning rate from how far the parameters have come."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.differentiable import nonzero, root
from funcdl.optim.hyperparameters import Number, Scalar, number, numbers_of, once
from funcdl.optim.parts import average, scalar, scale, scale_all
from funcdl.optim.transformation import Transformation, chain, part
from funcdl.tree import Tree


def prodigy(
    lr: Number = 1.0,
    betas: tuple[Number, Number] = (0.9, 0.999),
    beta3: Number | None = None,
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    d0: Number = 1e-6,
    d_coef: Number = 1.0,
    safeguard_warmup: bool = False,
    *,
    maximize: bool = False,
) -> Transformation:
    """Prodigy: Adam with the rate `lr d`, where `d` grows to an estimate of the distance from start to solution.

    At update number `t = 1, 2, ...`, with `a = lr d sqrt(1 - b2^t) / (1 - b1^t)` and sums over all leaves:

    - `m <- b1 m + (1 - b1) d g` and `v <- b2 v + (1 - b2) d^2 g^2`,
    - `r <- b3 r + a d / d0 <g, p0 - p>` and `s <- b3 s + a d / d0 g`, where `p0` are the parameters given to `init`,
    - `d <- max(d, d_coef r / |s|_1)`,
    - `p <- p - a (m / (sqrt(v) + d eps) + weight_decay p)`, with the new `d` and the old `a`.

    It is one part, since the rate takes part in the estimate: what acts on its updates, such as a clipping after it in
    a chain, is not seen by it. Keep `lr` at 1, or let it take a schedule that starts there.

    Args:
        lr: factor of the estimated rate, at least 0.
        betas: `b1` and `b2`, each in [0, 1).
        beta3: `b3`, decay of the sums that `d` is estimated from, in [0, 1); `sqrt(b2)` if None.
        eps: what is added to the root, at least 0.
        weight_decay: factor of the parameters (decoupled), at least 0.
        d0: the first `d`, above 0; small against the distance to go.
        d_coef: factor of the estimate, at least 0.
        safeguard_warmup: whether to leave `lr` and the corrections out of `s`, which keeps `d` from growing too large
            while a schedule warms up.
        maximize: whether to ascend; the weights decay all the same.

    Returns:
        A transformation, the numbers of which are `lr`, `beta1`, `beta2`, `eps`, `weight_decay`, `d0`, `d_coef`, and
        `beta3` if it was given.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.prodigy(d0=0.1), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, -20.0])}, optimizer.init(params), params)
    >>> updates
    {'w': tensor([-0.1000,  0.1000])}

    Mishchenko and Defazio, "Prodigy: An Expeditiously Adaptive Parameter-Free Learner" (2024),
    https://arxiv.org/abs/2306.06101. Equals `optax.contrib.prodigy`, which corrects for the start as the authors' code
    does with `use_bias_correction=True` only. While all gradients are zero nothing moves, where optax divides 0 by 0.
    One NaN in the gradients makes `d`, and so all parameters, NaN.
    """
    if isinstance(d0, (int, float)) and d0 == 0:
        raise ValueError(f"prodigy: d0={d0} is out of range; expected a number above 0, for d to grow from")
    beta1, beta2 = numbers_of("prodigy", "betas", betas, 2)
    numbers = {
        "lr": number("prodigy", "lr", lr),
        "beta1": number("prodigy", "betas[0]", beta1, high=1.0),
        "beta2": number("prodigy", "betas[1]", beta2, high=1.0),
        "eps": number("prodigy", "eps", eps),
        "weight_decay": number("prodigy", "weight_decay", weight_decay),
        "d0": number("prodigy", "d0", d0),
        "d_coef": number("prodigy", "d_coef", d_coef),
    }
    if beta3 is not None:
        numbers["beta3"] = number("prodigy", "beta3", beta3, high=1.0)

    def init(params: Tree) -> dict[str, Tree]:
        zeros = {name: tree.zeros_like(params) for name in ("exp_avg", "exp_avg_sq", "s")}
        start = tree.map(torch.clone, params)
        return {**zeros, "p0": start, "d": scalar(params), "d_numerator": scalar(params)}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        beta1, beta2, d0 = h["beta1"], h["beta2"], h["d0"]
        beta3 = h["beta3"] if "beta3" in h else root(beta2)
        d = once(torch.maximum(memory["d"], d0))  # kept as 0 before the first update, so that d0 may be replaced
        rate = once(h["lr"] * d * (1 - beta2 ** (count + 1)).sqrt() / (1 - beta1 ** (count + 1)))

        steps = scale_all(d, grads)
        exp_avg = average(memory["exp_avg"], steps, 1 - beta1)
        exp_avg_sq = average(memory["exp_avg_sq"], tree.map(torch.square, steps), 1 - beta2)
        weight = once((d if safeguard_warmup else rate) / d0)
        s = tree.map(lambda s, g: scale(beta3, s) + scale(weight, g), memory["s"], steps)

        progress = tree.map(lambda g, start, p: g * (start - p), grads, memory["p0"], params)
        d_numerator = beta3 * memory["d_numerator"] + d / d0 * rate * _total(progress, d)
        length = _total(tree.map(torch.abs, s), d)
        estimate = torch.where(length == 0, d, h["d_coef"] * d_numerator / nonzero(length))
        new_d = once(torch.maximum(d, estimate))

        bound, decay = new_d * h["eps"], rate * h["weight_decay"]
        updates = tree.map(
            lambda m, v, p: -(scale(rate, m) / (root(v) + bound.to(v.dtype)) + scale(decay, p)),
            exp_avg,
            exp_avg_sq,
            params,
        )
        new_memory = {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq, "s": s, "p0": memory["p0"]}
        return updates, {**new_memory, "d": new_d, "d_numerator": d_numerator}

    return chain(part("prodigy", numbers, init, update), maximize=maximize)


def _total(values: Tree, like: Scalar) -> Scalar:
    return sum((leaf.sum(dtype=torch.float64) for leaf in tree.leaves(values)), start=torch.zeros_like(like))
