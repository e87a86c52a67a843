"""Skips updates whose gradients are not finite."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_hyperparameter
from funcdl.optim.safe_math import under_transform
from funcdl.optim.state import State, zero_scalar
from funcdl.optim.transformation import Transformation
from funcdl.optim.tree_math import tree_where
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.optim.wrappers.conditional import make_conditional
from funcdl.tree import Tree


def apply_if_finite(optimizer: Transformation, max_consecutive_errors: ScalarOrSchedule) -> Transformation:
    """Skips each update whose gradients contain a NaN or an infinity, unless there are too many in a row.

    A skipped update is zero and leaves the optimizer's state unchanged.

    Args:
        optimizer: the optimizer that gets the finite gradients.
        max_consecutive_errors: how many updates in a row may be skipped, at least 0. Further ones are applied, so that
            a diverged model does not go unnoticed.

    Returns:
        A transformation with the hyperparameters `wrapper.max_consecutive_errors` and those of `optimizer`, such as
        `optimizer.1.lr`. The `wrapper.buffers` of its state are 0-dim tensors: `total_notfinite`, the number of
        gradients that were not finite; `notfinite_count`, the number of them in a row until now; and `last_finite`,
        whether the last ones were finite.

    Raises:
        ValueError: `max_consecutive_errors` is out of range.

    >>> from funcdl import optim
    >>> optimizer, params = optim.apply_if_finite(optim.sgd(lr=1.0), 5), {"w": torch.zeros(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, float("inf")])}, optimizer.init(params), params)
    >>> updates, state.wrapper.buffers["total_notfinite"]
    ({'w': tensor([0., 0.])}, tensor(1))

    Equals `optax.apply_if_finite`.
    """

    def init(params: Tree) -> dict[str, Tree]:
        zero = zero_scalar(params, torch.int64)
        return {"notfinite_count": zero, "total_notfinite": zero.clone(), "last_finite": zero == 0}

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        finite = torch.ones_like(count, dtype=torch.bool)
        for grad in tree.leaves(grads):
            finite = finite & grad.isfinite().all()
        notfinite_count = torch.where(finite, 0, buffers["notfinite_count"] + 1)
        if under_transform(*tree.leaves((grads, params))):  # otherwise skipped gradients make derivatives NaN
            applied = finite | (notfinite_count > hyper["max_consecutive_errors"])
            grads = tree_where(applied, grads, tree.zeros_like(grads))
        return grads, {
            "notfinite_count": notfinite_count,
            "total_notfinite": buffers["total_notfinite"] + ~finite,
            "last_finite": finite,
        }

    def should_step(state: State) -> Tensor:
        patience = state.hyperparameters["max_consecutive_errors"]
        return state.buffers["last_finite"] | (state.buffers["notfinite_count"] > patience)

    limit = check_hyperparameter("apply_if_finite", "max_consecutive_errors", max_consecutive_errors)
    count_errors = make_transformation(
        "apply_if_finite", {"max_consecutive_errors": limit}, init, update, as_real=False
    )
    return make_conditional("apply_if_finite", count_errors, optimizer, should_step)
