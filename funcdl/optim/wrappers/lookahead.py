"""Lookahead: k steps forward, one step back."""

from __future__ import annotations

import torch

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_hyperparameter, check_integer
from funcdl.optim.state import find_state
from funcdl.optim.transformation import Transformation, apply_updates, chain, check_is_transformation
from funcdl.optim.tree_math import tree_lerp, tree_where
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.tree import Tree


def lookahead(
    optimizer: Transformation, sync_period: ScalarOrSchedule = 5, slow_step_size: ScalarOrSchedule = 0.5
) -> Transformation:
    """Lets an optimizer take a few fast steps, and then moves slow parameters part of the way towards the result.

    After every `sync_period` updates, `slow <- slow + slow_step_size (p - slow)` and `p <- slow`. The slow parameters
    are in the state; `slow_params(state)` returns them for evaluation.

    Args:
        optimizer: the optimizer that takes the fast steps.
        sync_period: the number of updates between two synchronizations, an integer, at least 1.
        slow_step_size: the fraction of the way that the slow parameters move, in [0, 1].

    Returns:
        A transformation with the hyperparameters of `optimizer`, such as `0.1.lr`, and `1.sync_period` and
        `1.slow_step_size`. It has to be the last transformation of a chain.

    Raises:
        ValueError: a hyperparameter is out of range.

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
    `optax.lookahead`, except that there the parameters are a pair of trees.
    """
    check_is_transformation("lookahead", optimizer)
    hyperparameters = {
        "sync_period": check_integer("lookahead", "sync_period", sync_period),
        "slow_step_size": check_hyperparameter("lookahead", "slow_step_size", slow_step_size, high=1.0, open=False),
    }

    def init(params: Tree) -> Buffers:
        return {"slow": tree.map(torch.clone, params)}

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        synchronizes = (count + 1) % hyper["sync_period"] == 0
        slow = tree_lerp(buffers["slow"], apply_updates(params, grads), hyper["slow_step_size"])
        updates = tree_where(synchronizes, tree.map(torch.sub, slow, params), grads)
        return updates, {"slow": tree_where(synchronizes, slow, buffers["slow"])}

    return chain(optimizer, make_transformation("lookahead", hyperparameters, init, update, as_real=False))


def slow_params(state: Tree) -> Tree:
    """Returns the slow parameters in the state of a `lookahead` optimizer; those of float16 parameters are float32.

    Args:
        state: the state of an optimizer that contains one `lookahead`.

    Raises:
        ValueError: the state contains no lookahead, or several.

    >>> from funcdl import optim
    >>> slow_params(optim.lookahead(optim.adam()).init({"w": torch.ones(2)}))
    {'w': tensor([1., 1.])}
    """
    return find_state("slow_params", state, "slow", "lookahead()").buffers["slow"]
