"""`make_conditional`, for wrappers that decide at each update whether their optimizer takes a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from funcdl import tree
from funcdl.optim.state import State
from funcdl.optim.transformation import Transformation, check_is_transformation, inner_update, with_cast_updates
from funcdl.optim.tree_math import tree_where
from funcdl.optim.validation import foreign_state_error
from funcdl.tree import Tree


class WrapperState(NamedTuple):
    """The state of a wrapper and of its optimizer; the hyperparameters of the latter are named as `optimizer.1.lr`."""

    wrapper: State
    optimizer: Tree


def make_conditional(
    name: str, gate: Transformation, optimizer: Transformation, should_step: Callable[[State], Tensor]
) -> Transformation:
    """Makes a wrapper: a gate processes the gradients, and decides whether the optimizer takes a step with them.

    Both results are computed and one is selected, without a branch, so that all updates use the same graph.

    Args:
        name: the name in error messages.
        gate: a transformation that is always applied; the optimizer gets its updates.
        optimizer: the optimizer that takes the steps. When it takes none, its state does not change and its updates
            are zero.
        should_step: a function of the new state of the gate that returns a 0-dim bool tensor.
    """

    check_is_transformation(name, optimizer)

    def init(params: Tree) -> WrapperState:
        return WrapperState(gate.init(params), optimizer.init(params))

    def update(grads: Tree, state: WrapperState, params: Tree = None, **extra: Any) -> tuple[Tree, WrapperState]:
        check_wrapper_state(name, state)
        gated, wrapper = inner_update(f"{name}: its update", gate, grads, state.wrapper, params, extra)
        owner = f"{name}: the optimizer's update"
        updates, optimizer_state = inner_update(owner, optimizer, gated, state.optimizer, params, extra)
        now = should_step(wrapper)
        return (
            tree_where(now, updates, tree.zeros_like(updates)),
            WrapperState(wrapper, tree_where(now, optimizer_state, state.optimizer)),
        )

    return with_cast_updates(init, update)


def check_wrapper_state(name: str, state: Tree) -> None:
    """Raises a ValueError unless `state` is the state of a wrapper."""
    if not isinstance(state, WrapperState):
        raise foreign_state_error(name)
