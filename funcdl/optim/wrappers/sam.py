"""SAM: steps with the gradient at a nearby point of higher loss, which lead to flat minima."""

from __future__ import annotations

from typing import Any

import torch

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_hyperparameter, materialize
from funcdl.optim.precision import to_param_dtypes
from funcdl.optim.safe_math import safe_denominator
from funcdl.optim.state import find_state, zero_scalar
from funcdl.optim.transformation import Transformation, check_is_transformation, inner_update, with_cast_updates
from funcdl.optim.tree_math import tree_scale, tree_where
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.optim.wrappers.conditional import WrapperState, check_wrapper_state
from funcdl.tree import Tree


def sam(optimizer: Transformation, rho: ScalarOrSchedule = 0.05, sync_period: int = 2) -> Transformation:
    """Sharpness-aware minimization: moves up the loss by `rho`, and uses the gradient there for a step from the start.

    In a cycle of `sync_period` updates, all but the last move the parameters up: `p <- p + rho g / |g|`, with the norm
    over all leaves. The last update returns to the parameters at the start of the cycle and takes the step of
    `optimizer` there, with the gradient at the perturbed parameters: `p <- start + u`.

    Each update needs only the gradient at the current parameters, so that SAM works in every training step, such as
    that of `train.make_step`. One step of the optimizer takes `sync_period` training steps, each with its own batch;
    for the algorithm of the paper pass each batch `sync_period` times. Within a cycle the parameters are perturbed:
    evaluate and save `sam_eval_params(state, params)` instead. Losses at perturbed parameters are higher, and the
    statistics of batch normalization include them. A NaN in the gradient of an upward update makes all parameters NaN;
    a NaN in the gradient of the last update of a cycle is passed to `optimizer`.

    Args:
        optimizer: the optimizer that takes the downward steps. Its counters and schedules count only these. It must
            not `maximize`.
        rho: the length of an upward move, at least 0.
        sync_period: the number of updates in a cycle, at least 2. It cannot change.

    Returns:
        A transformation with the hyperparameters `wrapper.rho` and those of `optimizer`, such as `optimizer.1.lr`.

    Raises:
        ValueError: a hyperparameter is out of range.

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
    with `opaque_mode=False`, except that with a zero gradient the parameters stay, while optax divides 0 by 0.
    """
    check_is_transformation("sam", optimizer)
    if not isinstance(sync_period, int) or sync_period < 2:
        raise ValueError(
            f"sam: sync_period={sync_period!r} is out of range; expected an integer, at least 2: an ascent and a step"
        )

    def init(params: Tree) -> Buffers:
        return {"steps_since_sync": zero_scalar(params, torch.int64), "start": tree.map(torch.clone, params)}

    def ascend(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        norm = tree.global_norm(grads).double()
        factor = materialize(torch.where(norm == 0, 0.0, hyper["rho"] / safe_denominator(norm)))
        start = tree_where(buffers["steps_since_sync"] == 0, params, buffers["start"])
        steps_since_sync = (buffers["steps_since_sync"] + 1) % sync_period
        return tree_scale(factor, grads), {"steps_since_sync": steps_since_sync, "start": start}

    ascent = make_transformation("sam", {"rho": check_hyperparameter("sam", "rho", rho)}, init, ascend, as_real=False)

    def update(grads: Tree, state: WrapperState, params: Tree = None, **extra: Any) -> tuple[Tree, WrapperState]:
        check_wrapper_state("sam", state)
        up, wrapper = inner_update("sam: its update", ascent, grads, state.wrapper, params, {})
        start, synchronizes = wrapper.buffers["start"], wrapper.buffers["steps_since_sync"] == 0
        owner, start_params = "sam: the optimizer's update", to_param_dtypes(params, start)
        down, optimizer_state = inner_update(owner, optimizer, grads, state.optimizer, start_params, extra)
        updates = tree_where(synchronizes, tree.map(lambda s, p, u: s - p + u, start, params, down), up)
        return updates, WrapperState(wrapper, tree_where(synchronizes, optimizer_state, state.optimizer))

    return with_cast_updates(lambda params: WrapperState(ascent.init(params), optimizer.init(params)), update)


def sam_eval_params(state: Tree, params: Tree) -> Tree:
    """Returns the parameters to evaluate and to save: those at the start of the current cycle of `sam`.

    Args:
        state: the state of an optimizer that contains one `sam`.
        params: the current parameters.

    Raises:
        ValueError: the state contains no sam, or several.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.sam(optim.sgd(lr=0.1), rho=0.5), {"w": torch.tensor([3.0, 4.0])}
    >>> updates, state = optimizer.update(params, optimizer.init(params), params)
    >>> sam_eval_params(state, optim.apply_updates(params, updates))
    {'w': tensor([3., 4.])}
    """
    buffers = find_state("sam_eval_params", state, "steps_since_sync", "sam()").buffers
    return tree_where(buffers["steps_since_sync"] == 0, params, to_param_dtypes(params, buffers["start"]))
