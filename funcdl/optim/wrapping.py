"""What the wrappers share that decide from update to update whether an optimizer acts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import State
from funcdl.optim.parts import select
from funcdl.optim.transformation import Transformation, check_is_transformation, transforming, wide_update
from funcdl.tree import Tree


class Wrapped(NamedTuple):
    """The state of a wrapper beside that of the optimizer in it, whose numbers are addressed as `optimizer.1.lr`."""

    wrapper: State
    optimizer: Tree


def conditionally(
    name: str, gate: Transformation, optimizer: Transformation, acts: Callable[[State], Tensor]
) -> Transformation:
    """Makes a wrapper: an optimizer that gets what a gate lets through, and acts or stands still.

    Both ways are computed and one is chosen, without a branch, so that one graph serves for all updates.

    Args:
        name: what errors call it.
        gate: a part; it always acts, and its updates are what the optimizer gets.
        optimizer: what acts. While it stands still its state does not change and its updates are zero.
        acts: whether it acts now, a 0-dim bool tensor, from the new state of the gate.
    """

    check_is_transformation(name, optimizer)

    def init(params: Tree) -> Wrapped:
        return Wrapped(gate.init(params), optimizer.init(params))

    def update(grads: Tree, state: Wrapped, params: Tree = None, **extra: Any) -> tuple[Tree, Wrapped]:
        check_wrapped(name, state)
        passed, wrapper = wide_update(f"{name}: its update", gate, grads, state.wrapper, params, extra)
        whose = f"{name}: the optimizer's update"
        updates, optimizer_state = wide_update(whose, optimizer, passed, state.optimizer, params, extra)
        now = acts(wrapper)
        return (
            select(now, updates, tree.zeros_like(updates)),
            Wrapped(wrapper, select(now, optimizer_state, state.optimizer)),
        )

    return transforming(init, update)


def check_wrapped(name: str, state: Tree) -> None:
    """Refuses a state that no wrapper has made."""
    if not isinstance(state, Wrapped):
        raise ValueError(
            f"{name}: update() got another state than its own; pass what init(params) or the last update() returned"
        )
