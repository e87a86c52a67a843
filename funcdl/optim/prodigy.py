"""Prodigy: Adam that estimates its learning rate from the distance that the parameters have moved."""

from __future__ import annotations

import torch

from funcdl import tree
from funcdl.optim.hyperparameters import (
    Count,
    Scalar,
    ScalarOrSchedule,
    check_betas,
    check_hyperparameter,
    check_nonnegative,
    materialize,
)
from funcdl.optim.moments import bias_correction
from funcdl.optim.safe_math import safe_denominator, safe_sqrt
from funcdl.optim.state import zero_scalar
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.tree_math import scale, tree_lerp, tree_scale
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.tree import Tree


def prodigy(
    lr: ScalarOrSchedule = 1.0,
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.9, 0.999),
    beta3: ScalarOrSchedule | None = None,
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    d0: ScalarOrSchedule = 1e-6,
    d_coef: ScalarOrSchedule = 1.0,
    safeguard_warmup: bool = False,
    *,
    maximize: bool = False,
) -> Transformation:
    """Prodigy: Adam with the rate `lr d`, where `d` grows to an estimate of the distance from start to solution.

    At update `t = 1, 2, ...`, with `a = lr d sqrt(1 - b2^t) / (1 - b1^t)` and sums over all leaves:

    - `m <- b1 m + (1 - b1) d g` and `v <- b2 v + (1 - b2) d^2 g^2`,
    - `r <- b3 r + a d / d0 <g, p0 - p>` and `s <- b3 s + a d / d0 g`, where `p0` are the parameters given to `init`,
    - `d <- max(d, d_coef r / |s|_1)`,
    - `p <- p - a (m / (sqrt(v) + d eps) + weight_decay p)`, with the new `d` and the old `a`.

    It is a single transformation, because the estimate depends on the rate. The estimate does not take into account
    changes of the updates, such as clipping after it in a chain. Keep `lr` at 1, or let it take a schedule that starts
    there.

    Args:
        lr: factor of the estimated rate, at least 0.
        betas: `b1` and `b2`, each in [0, 1).
        beta3: `b3`, decay of the sums that `d` is estimated from, in [0, 1); `sqrt(b2)` if None.
        eps: added to the denominator, at least 0.
        weight_decay: factor of the parameters (decoupled), at least 0.
        d0: the first `d`, above 0; small compared with the distance.
        d_coef: factor of the estimate, at least 0.
        safeguard_warmup: whether to leave `lr` and the corrections out of `s`, which prevents `d` from growing too
            large while a schedule warms up.
        maximize: whether to ascend; the weights decay in either case.

    Returns:
        A transformation with the hyperparameters `lr`, `beta1`, `beta2`, `eps`, `weight_decay`, `d0`, `d_coef`, and
        `beta3` if it was given.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.prodigy(d0=0.1), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, -20.0])}, optimizer.init(params), params)
    >>> updates
    {'w': tensor([-0.1000,  0.1000])}

    Mishchenko and Defazio, "Prodigy: An Expeditiously Adaptive Parameter-Free Learner" (2024),
    https://arxiv.org/abs/2306.06101. Equals `optax.contrib.prodigy`, which always corrects the bias; the authors' code
    does so only with `use_bias_correction=True`. While all gradients are zero, the parameters do not change, where
    optax divides 0 by 0. One NaN in the gradients makes `d`, and so all parameters, NaN.
    """
    if isinstance(d0, (int, float)) and d0 == 0:
        raise ValueError(f"prodigy: d0={d0} is out of range; expected a number above 0, for d to grow from")
    hyperparameters = check_nonnegative("prodigy", lr=lr) | check_betas("prodigy", betas)
    hyperparameters |= check_nonnegative("prodigy", eps=eps, weight_decay=weight_decay, d0=d0, d_coef=d_coef)
    if beta3 is not None:
        hyperparameters["beta3"] = check_hyperparameter("prodigy", "beta3", beta3, high=1.0)

    def init(params: Tree) -> dict[str, Tree]:
        zeros = {name: tree.zeros_like(params) for name in ("exp_avg", "exp_avg_sq", "s")}
        start = tree.map(torch.clone, params)
        return {**zeros, "p0": start, "d": zero_scalar(params), "d_numerator": zero_scalar(params)}

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        beta1, beta2, d0 = hyper["beta1"], hyper["beta2"], hyper["d0"]
        beta3 = hyper["beta3"] if "beta3" in hyper else safe_sqrt(beta2)
        d = materialize(
            torch.maximum(buffers["d"], d0)
        )  # stored as 0 before the first update, so that d0 may be replaced
        rate = materialize(hyper["lr"] * d * bias_correction(beta2, count).sqrt() / bias_correction(beta1, count))

        steps = tree_scale(d, grads)
        exp_avg = tree_lerp(buffers["exp_avg"], steps, 1 - beta1)
        exp_avg_sq = tree_lerp(buffers["exp_avg_sq"], tree.map(torch.square, steps), 1 - beta2)
        weight = materialize((d if safeguard_warmup else rate) / d0)
        s = tree.map(lambda s, g: scale(beta3, s) + scale(weight, g), buffers["s"], steps)

        progress = tree.map(lambda g, start, p: g * (start - p), grads, buffers["p0"], params)
        d_numerator = beta3 * buffers["d_numerator"] + d / d0 * rate * _total(progress, d)
        s_norm = _total(tree.map(torch.abs, s), d)
        estimate = torch.where(s_norm == 0, d, hyper["d_coef"] * d_numerator / safe_denominator(s_norm))
        new_d = materialize(torch.maximum(d, estimate))

        new_eps, decay = new_d * hyper["eps"], rate * hyper["weight_decay"]
        updates = tree.map(
            lambda m, v, p: -(scale(rate, m) / (safe_sqrt(v) + new_eps.to(v.dtype)) + scale(decay, p)),
            exp_avg,
            exp_avg_sq,
            params,
        )
        new_buffers = {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq, "s": s, "p0": buffers["p0"]}
        return updates, {**new_buffers, "d": new_d, "d_numerator": d_numerator}

    return chain(make_transformation("prodigy", hyperparameters, init, update), maximize=maximize)


def _total(values: Tree, like: Scalar) -> Scalar:
    return sum((leaf.sum(dtype=torch.float64) for leaf in tree.leaves(values)), start=torch.zeros_like(like))
