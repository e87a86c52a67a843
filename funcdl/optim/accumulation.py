"""One update from the gradients of several batches."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Number, Scalar, once, whole_number
from funcdl.optim.parts import average, scalar, select
from funcdl.optim.transformation import Transformation, part
from funcdl.optim.wrapping import conditionally
from funcdl.tree import Tree


def multi_steps(optimizer: Transformation, k: Number) -> Transformation:
    """Gathers the gradients of `k` updates, and gives the optimizer their mean with the last one.

    All other updates are zero, and the optimizer does not notice them: its counters, and with them its schedules, count
    one for every `k`. For a loss that is a mean over the batch, `k` batches of one size equal one batch of all.

    Args:
        optimizer: what gets the means. An extra argument, such as the loss `value`, is that of the last of the batches.
        k: how many updates to gather, a whole number, at least 1. It may change, and be scheduled by the number of
            gathered gradients; one that becomes smaller than what is gathered makes the next update the last.

    Returns:
        A transformation, the numbers of which are `wrapper.k` and those of `optimizer`, as `optimizer.1.lr`.

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

    Equals `optax.MultiSteps`, which keeps the mean in float32; here it has the dtype of the parameters.
    """

    def init(params: Tree) -> dict[str, Tree]:
        return {"mean": tree.zeros_like(params), "gathered": scalar(params).long()}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        gathered = memory["gathered"] + 1
        mean = average(memory["mean"], grads, once(1 / gathered.double()))
        full = gathered >= h["k"]
        return mean, {
            "mean": select(full, tree.zeros_like(mean), mean),
            "gathered": torch.where(full, 0, gathered),
        }

    gather = part("multi_steps", {"k": whole_number("multi_steps", "k", k)}, init, update, as_real=False)
    return conditionally("multi_steps", gather, optimizer, lambda state: state.memory["gathered"] == 0)
