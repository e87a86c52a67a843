"""Updates left out when the gradients are not finite."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.differentiable import recorded
from funcdl.optim.hyperparameters import Number, Scalar, State, number
from funcdl.optim.parts import scalar, select
from funcdl.optim.transformation import Transformation, part
from funcdl.optim.wrapping import conditionally
from funcdl.tree import Tree


def apply_if_finite(optimizer: Transformation, max_consecutive_errors: Number) -> Transformation:
    """Leaves out each update with a NaN or an infinity in its gradients, unless too many come in a row.

    An update that is left out is zero, and the optimizer's state stays as it was.

    Args:
        optimizer: what gets the finite gradients.
        max_consecutive_errors: how many updates in a row may be left out, at least 0; those after them are taken as
            they are, so that a model that has diverged is noticed.

    Returns:
        A transformation, the numbers of which are `wrapper.max_consecutive_errors` and those of `optimizer`, as
        `optimizer.1.lr`. Its state has `wrapper.memory`: `total_notfinite`, how many gradients were not finite,
        `notfinite_count`, how many of them in a row until now (0-dim int64 tensors), and `last_finite`, a bool one.

    Raises:
        ValueError: `max_consecutive_errors` is out of range.

    >>> from funcdl import optim
    >>> optimizer, params = optim.apply_if_finite(optim.sgd(lr=1.0), 5), {"w": torch.zeros(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, float("inf")])}, optimizer.init(params), params)
    >>> updates, state.wrapper.memory["total_notfinite"]
    ({'w': tensor([0., 0.])}, tensor(1))

    Equals `optax.apply_if_finite`.
    """

    def init(params: Tree) -> dict[str, Tree]:
        none = scalar(params).long()
        return {"notfinite_count": none, "total_notfinite": none.clone(), "last_finite": none == 0}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        finite = torch.ones_like(count, dtype=torch.bool)
        for grad in tree.leaves(grads):
            finite = finite & grad.isfinite().all()
        notfinite_count = torch.where(finite, 0, memory["notfinite_count"] + 1)
        if recorded(*tree.leaves((grads, params))):  # what is not taken must not make the derivatives NaN
            taken = finite | (notfinite_count > h["max_consecutive_errors"])
            grads = select(taken, grads, tree.zeros_like(grads))
        return grads, {
            "notfinite_count": notfinite_count,
            "total_notfinite": memory["total_notfinite"] + ~finite,
            "last_finite": finite,
        }

    def acts(state: State) -> Tensor:
        patience = state.hyperparameters["max_consecutive_errors"]
        return state.memory["last_finite"] | (state.memory["notfinite_count"] > patience)

    limit = number("apply_if_finite", "max_consecutive_errors", max_consecutive_errors)
    watch = part("apply_if_finite", {"max_consecutive_errors": limit}, init, update, as_real=False)
    return conditionally("apply_if_finite", watch, optimizer, acts)
