"""Lookahead: k steps forward, one step back."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Number, Scalar, State, number, whole_number
from funcdl.optim.parts import average, find, select
from funcdl.optim.transformation import Transformation, apply_updates, chain, check_is_transformation, part
from funcdl.tree import Tree


def lookahead(optimizer: Transformation, sync_period: Number = 5, slow_step_size: Number = 0.5) -> Transformation:
    """Lets an optimizer run ahead for a few steps, and then follows it only part of the way.

    After every `sync_period` updates, `slow <- slow + slow_step_size (p - slow)` and `p <- slow`. The parameters stay a
    plain tree; the slow ones lie in the state, and `slow_params(state)` returns them for evaluation.

    Args:
        optimizer: what runs ahead.
        sync_period: updates between two synchronisations, a whole number, at least 1.
        slow_step_size: share of the way that the slow parameters follow, in [0, 1].

    Returns:
        A transformation, the numbers of which are those of `optimizer`, as `0.1.lr`, `1.sync_period` and
        `1.slow_step_size`. It has to be the last part of a chain.

    Raises:
        ValueError: a number is out of range.

    >>> from funcdl import optim
    >>> optimizer, params = optim.lookahead(optim.sgd(lr=1.0), sync_period=2), {"w": torch.tensor([8.0])}
    >>> state = optimizer.init(params)
    >>> for _ in range(4):
    ...     updates, state = optimizer.update({"w": torch.ones(1)}, state, params)
    ...     params = optim.apply_updates(params, updates)
    ...     print(params["w"].item(), optim.slow_params(state)["w"].item())
    7.0 8.0
    7.0 7.0
    6.0 7.0
    6.0 6.0

    Zhang et al., "Lookahead Optimizer: k steps forward, 1 step back" (2019), https://arxiv.org/abs/1907.08610. Equals
    `optax.lookahead`, the parameters of which are a pair of trees.
    """
    check_is_transformation("lookahead", optimizer)
    numbers = {
        "sync_period": whole_number("lookahead", "sync_period", sync_period),
        "slow_step_size": number("lookahead", "slow_step_size", slow_step_size, high=1.0, open=False),
    }

    def init(params: Tree) -> dict[str, Tree]:
        return {"slow": tree.map(torch.clone, params)}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        together = (count + 1) % h["sync_period"] == 0
        back = average(memory["slow"], apply_updates(params, grads), h["slow_step_size"])
        updates = select(together, tree.map(torch.sub, back, params), grads)
        return updates, {"slow": select(together, back, memory["slow"])}

    return chain(optimizer, part("lookahead", numbers, init, update, as_real=False))


def slow_params(state: Tree) -> Tree:
    """Returns the slow parameters that `lookahead` keeps in the state of an optimizer; float32 for float16 ones.

    Args:
        state: of an optimizer that has one `lookahead` in it.

    Raises:
        ValueError: the state has no such part, or several.

    >>> from funcdl import optim
    >>> slow_params(optim.lookahead(optim.adam()).init({"w": torch.ones(2)}))
    {'w': tensor([1., 1.])}
    """
    found = find(state, lambda part: isinstance(part, State) and "slow" in part.memory)
    if len(found) != 1:
        raise ValueError(
            f"slow_params: the state has {len(found)} lookahead parts, expected 1; pass the state of one optimizer "
            "made with lookahead()"
        )
    return found[0].memory["slow"]
