"""SAM: gradients taken at the worst point nearby, for minima that are flat."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.differentiable import nonzero
from funcdl.optim.hyperparameters import Number, Scalar, State, number, once
from funcdl.optim.parts import find, scalar, scale_all, select
from funcdl.optim.transformation import (
    Transformation,
    check_is_transformation,
    in_dtypes_of,
    part,
    transforming,
    wide_update,
)
from funcdl.optim.wrapping import Wrapped, check_wrapped
from funcdl.tree import Tree


def sam(optimizer: Transformation, rho: Number = 0.05, sync_period: int = 2) -> Transformation:
    """Sharpness-aware minimization: climb by `rho`, and descend from below with the gradient found up there.

    Of `sync_period` updates in a row all but the last climb, `p <- p + rho g / |g|` with the norm over all leaves. The
    last goes back to where the first one started and takes the step of `optimizer` there, with the gradient of the top:
    `p <- start + u`.

    Each update takes one gradient, so SAM works in every training step, `train.make_step` too, with no more than the
    gradients at the parameters: one step of the optimizer costs `sync_period` training steps, each with a batch of its
    own (give each batch `sync_period` times for the paper's algorithm), and after the others the parameters are
    somewhere up the slope. Evaluate, and stop, at `sam_eval_params(state, params)`. Losses reported from the top are
    higher than they are below, and batch normalisation gathers its statistics up there as well.
    A NaN in the gradient of a climb spoils all parameters; in that of a step, it does what `optimizer` does with it.

    Args:
        optimizer: what descends. Its counters and schedules see its own steps only. It must not `maximize`.
        rho: length of one climb, at least 0.
        sync_period: updates from one step of the optimizer to the next, at least 2. Fixed when it is made.

    Returns:
        A transformation, the numbers of which are `wrapper.rho` and those of `optimizer`, as `optimizer.1.lr`.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.sam(optim.sgd(lr=0.1), rho=0.5), {"w": torch.tensor([3.0, 4.0])}
    >>> state = optimizer.init(params)
    >>> for _ in range(2):
    ...     updates, state = optimizer.update(params, state, params)  # the gradient of half the square
    ...     params = optim.apply_updates(params, updates)
    ...     print(params)
    {'w': tensor([3.3000, 4.4000])}
    {'w': tensor([2.6700, 3.5600])}

    Foret et al., "Sharpness-Aware Minimization for Efficiently Improving Generalization" (2021),
    https://arxiv.org/abs/2010.01412. Equals `optax.contrib.sam(optimizer, chain(normalize(), sgd(rho)), sync_period)`
    with `opaque_mode=False`; where the whole gradient is zero it stays, while optax divides 0 by 0.
    """
    check_is_transformation("sam", optimizer)
    if not isinstance(sync_period, int) or sync_period < 2:
        raise ValueError(
            f"sam: sync_period={sync_period!r} is out of range; expected a whole number, at least 2, a climb and a step"
        )

    def init(params: Tree) -> dict[str, Tree]:
        climbs = scalar(params).to(torch.int64)
        return {"climbs": climbs, "start": tree.map(torch.clone, params)}

    def climb(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        norm = tree.global_norm(grads).double()
        factor = once(torch.where(norm == 0, 0.0, h["rho"] / nonzero(norm)))
        start = select(memory["climbs"] == 0, params, memory["start"])
        climbs = (memory["climbs"] + 1) % sync_period
        return scale_all(factor, grads), {"climbs": climbs, "start": start}

    ascent = part("sam", {"rho": number("sam", "rho", rho)}, init, climb, as_real=False)

    def update(grads: Tree, state: Wrapped, params: Tree = None, **extra: Any) -> tuple[Tree, Wrapped]:
        check_wrapped("sam", state)
        up, wrapper = wide_update("sam: its update", ascent, grads, state.wrapper, params, {})
        start, last = wrapper.memory["start"], wrapper.memory["climbs"] == 0
        whose, below = "sam: the optimizer's update", in_dtypes_of(params, start)
        down, optimizer_state = wide_update(whose, optimizer, grads, state.optimizer, below, extra)
        updates = select(last, tree.map(lambda s, p, u: s - p + u, start, params, down), up)
        return updates, Wrapped(wrapper, select(last, optimizer_state, state.optimizer))

    return transforming(lambda params: Wrapped(ascent.init(params), optimizer.init(params)), update)


def sam_eval_params(state: Tree, params: Tree) -> Tree:
    """Returns the parameters to evaluate and to keep: those from which `sam` started to climb.

    Args:
        state: of an optimizer that has one `sam` in it.
        params: the trained parameters that belong to it.

    Raises:
        ValueError: the state has no such part, or several.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.sam(optim.sgd(lr=0.1), rho=0.5), {"w": torch.tensor([3.0, 4.0])}
    >>> updates, state = optimizer.update(params, optimizer.init(params), params)
    >>> sam_eval_params(state, optim.apply_updates(params, updates))
    {'w': tensor([3., 4.])}
    """
    found = find(state, lambda part: isinstance(part, State) and "climbs" in part.memory)
    if len(found) != 1:
        raise ValueError(
            f"sam_eval_params: the state has {len(found)} sam parts, expected 1; pass the state of one optimizer made "
            "by sam() with the parameters that belong to it"
        )
    climbs, start = found[0].memory["climbs"], found[0].memory["start"]
    return select(climbs == 0, params, in_dtypes_of(params, start))
