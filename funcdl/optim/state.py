"""The state of an optimizer: reading and replacing the hyperparameters in it, finding one transformation's state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Count, Scalar
from funcdl.tree import Tree


class State(NamedTuple):
    """The state of one transformation; the state of a chain is the tuple of its transformations' states.

    It has the same structure whether a hyperparameter is a float, a tensor or a schedule.
    """

    count: Count  # type: ignore[assignment]  # hides tuple.count; updates done so far, int64
    hyperparameters: dict[str, Scalar]  # float64 on the parameters' device
    buffers: dict[str, Tree]  # moving averages and the like; most have the shapes of the parameters


def get_hyperparameters(state: Tree) -> dict[str, Scalar]:
    """Returns the hyperparameters of an optimizer by path. Scheduled ones have the values of the last update.

    >>> from funcdl import optim
    >>> get_hyperparameters(optim.sgd(lr=0.5).init({"w": torch.ones(2)}))
    {'0.weight_decay': tensor(0., dtype=torch.float64), '1.lr': tensor(0.5000, dtype=torch.float64)}
    """
    return {path + name: value for path, part in _states(state) for name, value in part.hyperparameters.items()}


def replace_hyperparameters(state: Tree, /, replacements: Mapping[str, Any] | None = None, **by_name: Any) -> Tree:
    """Returns `state` with some hyperparameters replaced; nothing is compiled again.

    A hyperparameter is addressed by its path, as `get_hyperparameters` lists it, or by an abbreviation: its name,
    optionally after the beginning of the path. `lr` is the only `lr` in the optimizer, and `1.lr` is the only one in
    transformation 1. Replacing a scheduled hyperparameter has no effect, because each update computes it from the
    schedule: make the optimizer with a float or a tensor instead. The ranges of the values are not checked.

    Args:
        state: the state of an optimizer, or a stack of such states (one for each member of an ensemble).
        replacements: `{path: value}`, where each value is a Python number or a 0-dim tensor, or for a stack of states
            a tensor with a value for each member.
        by_name: the same for names without a dot.

    Raises:
        KeyError: the state has no such hyperparameter. Flags (`nesterov`, `amsgrad`, `maximize`) and a `momentum` of 0
            are part of the optimizer's structure and cannot be replaced.
        ValueError: a name matches several hyperparameters, or a value has the wrong shape.

    >>> from funcdl import optim
    >>> state = replace_hyperparameters(optim.sgd(lr=0.5).init({"w": torch.ones(2)}), lr=0.1)
    >>> get_hyperparameters(state)["1.lr"]
    tensor(0.1000, dtype=torch.float64)
    """
    leaf_paths = {
        f"{path}{name}": f"{path}hyperparameters.{name}"
        for path, part in _states(state)
        for name in part.hyperparameters
    }
    for address, value in {**(replacements or {}), **by_name}.items():
        path = _resolve(address, list(leaf_paths))
        old = tree.at(state, leaf_paths[path]).get()
        if callable(value) or not isinstance(value, (int, float, Tensor)):
            raise ValueError(
                f"replace_hyperparameters: {address}={value!r} is neither a number nor a tensor; "
                "a schedule is given to the optimizer when it is made"
            )
        new = torch.as_tensor(value, dtype=old.dtype, device=old.device)
        if new.shape not in ((), old.shape):
            raise ValueError(
                f"replace_hyperparameters: {address} has shape {tuple(new.shape)}; expected a number or "
                f"a tensor of shape {tuple(old.shape)}"
            )
        state = tree.at(state, leaf_paths[path]).set(new.expand_as(old).clone())
    return state


def find_state(caller: str, state: Tree, buffer: str, made_by: str) -> State:
    """Finds the state of one transformation in the state of an optimizer, by the name of one of its buffers.

    Args:
        caller: the name of the caller in error messages.
        state: the state of an optimizer.
        buffer: a buffer that only the states of the wanted transformation have.
        made_by: the constructor of the transformation, for error messages.

    Raises:
        ValueError: there is no such state, or several.
    """
    found = [part for _, part in _states(state) if buffer in part.buffers]
    if len(found) != 1:
        raise ValueError(
            f"{caller}: the state has {len(found)} transformations made by {made_by}, expected 1; pass the state of "
            "one optimizer with one of them in it"
        )
    return found[0]


def zero_scalar(params: Tree, dtype: torch.dtype = torch.float64) -> Scalar:
    """Returns a 0-dim zero on the device of the parameters.

    It is derived from a parameter, so that under `vmap` each member has its own. `vmap` would return a zero that all
    members share as an expanded tensor with stride 0. Its layout would change at the first update, which would need
    another graph.
    """
    leaf = next(iter(tree.leaves(params)), None)
    return torch.zeros((), dtype=dtype) if leaf is None else leaf.new_zeros((), dtype=dtype)


def _states(state: Tree, path: str = "") -> Iterator[tuple[str, State]]:
    """Yields the state of each transformation within an optimizer's state, with its path."""
    if isinstance(state, State):
        yield path, state
    elif isinstance(state, (tuple, list)):
        names = getattr(state, "_fields", range(len(state)))
        for name, child in zip(names, state, strict=True):
            yield from _states(child, f"{path}{name}.")
    elif isinstance(state, dict):
        for name, child in state.items():
            yield from _states(child, f"{path}{name}.")


def _resolve(address: str, paths: list[str]) -> str:
    *start, name = address.split(".")
    matches = [path for path in paths if path == address] or [
        path for path in paths if (keys := path.split("."))[-1] == name and keys[: len(start)] == start
    ]
    if not matches:
        raise KeyError(
            f"replace_hyperparameters: this optimizer has no '{address}' that may change, only "
            f"{', '.join(paths) or 'nothing'}; flags and a momentum of 0 are structure, so make another "
            "optimizer to change them"
        )
    if len(matches) > 1:
        raise ValueError(f"replace_hyperparameters: '{address}' may be any of {', '.join(matches)}; pass one of these")
    return matches[0]
