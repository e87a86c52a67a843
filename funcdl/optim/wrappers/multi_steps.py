"""Gradient accumulation: one update from the mean gradient of several batches."""

from __future__ import annotations

import torch

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_integer, materialize
from funcdl.optim.state import zero_scalar
from funcdl.optim.transformation import Transformation
from funcdl.optim.tree_math import tree_lerp, tree_where
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.optim.wrappers.conditional import make_conditional
from funcdl.tree import Tree


def multi_steps(optimizer: Transformation, k: ScalarOrSchedule) -> Transformation:
    """Accumulates the gradients of `k` updates; at the last one the optimizer takes a step with their mean.

    The other updates are zero and leave the optimizer's state unchanged, so that its counters and schedules advance
    once every `k` updates. If the loss is a mean over the batch, `k` batches of equal size have the same effect as one
    batch of all their rows.

    Args:
        optimizer: the optimizer that gets the mean gradients. Extra arguments, such as the loss `value`, are those of
            the last batch.
        k: how many gradients to accumulate, an integer, at least 1. It may change, and a schedule of it is called with
            the number of all gradients so far. If fewer are needed than are already accumulated, the optimizer takes a
            step at the next update.

    Returns:
        A transformation with the hyperparameters `wrapper.k` and those of `optimizer`, as `optimizer.1.lr`.

    Raises:
        ValueError: `k` is out of range.

    >>> from funcdl import optim
    >>> optimizer, params = optim.multi_steps(optim.sgd(lr=1.0), k=2), {"w": torch.zeros(1)}
    >>> state = optimizer.init(params)
    >>> for gradient in (1.0, 3.0, 5.0):
    ...     updates, state = optimizer.update({"w": torch.tensor([gradient])}, state, params)
    ...     print(updates)
    {'w': tensor([0.])}
    {'w': tensor([-2.])}
    {'w': tensor([0.])}

    Equals `optax.MultiSteps`, whose mean is float32; here it has the dtype of the parameters.
    """

    def init(params: Tree) -> Buffers:
        return {"mean": tree.zeros_like(params), "mini_step": zero_scalar(params, torch.int64)}

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        mini_step = buffers["mini_step"] + 1
        mean = tree_lerp(buffers["mean"], grads, materialize(1 / mini_step.double()))
        complete = mini_step >= hyper["k"]
        return mean, {
            "mean": tree_where(complete, tree.zeros_like(mean), mean),
            "mini_step": torch.where(complete, 0, mini_step),
        }

    accumulate = make_transformation(
        "multi_steps", {"k": check_integer("multi_steps", "k", k)}, init, update, as_real=False
    )
    return make_conditional("multi_steps", accumulate, optimizer, lambda state: state.buffers["mini_step"] == 0)
