"""Making transformations from their update rules.

`make_transformation` makes a transformation from its hyperparameters, the buffers that it keeps between updates, and an
update rule. It adds what all transformations have in common: the step counter, schedules and checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Concatenate

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Count, Scalar, ScalarOrSchedule, current_value, materialize
from funcdl.optim.precision import COMPUTE_DTYPES, to_compute_dtype
from funcdl.optim.state import State, zero_scalar
from funcdl.optim.transformation import Transformation, with_cast_updates
from funcdl.optim.validation import as_pair, foreign_state_error, match_gradients
from funcdl.tree import Tree

Buffers = dict[str, Tree]  # what a transformation keeps between updates, such as moving averages, by name
Hyper = dict[str, Scalar]  # the values of the hyperparameters at this update, 0-dim float64, by name
UpdateRule = Callable[Concatenate[Tree, Buffers, Tree, Hyper, Count, ...], tuple[Tree, Buffers]]
"""`(grads, buffers, params, hyper, count) -> (updates, buffers)`: the mathematics of a transformation."""


def make_transformation(
    name: str,
    hyperparameters: Mapping[str, ScalarOrSchedule],
    init_buffers: Callable[[Tree], Buffers],
    update: UpdateRule,
    *,
    needs: Sequence[str] = (),
    as_real: bool = True,
) -> Transformation:
    """Makes a transformation from its update rule. All transformations of this library are made this way.

    Args:
        name: the name in error messages.
        hyperparameters: by name, each a float, a 0-dim tensor or a schedule.
        init_buffers: `params -> buffers`, a dict of trees: the buffers before the first update.
        update: the update rule, a pure function `(grads, buffers, params, hyper, count) -> (updates, buffers)`. `hyper`
            has the hyperparameters as 0-dim float64 tensors, and `count` is the number of updates before this one.
            Compute scalars that all leaves share in float64 and pass them through `materialize`; cast them to each
            leaf's dtype where they are used, as `scale` does. The gradients are cast to the dtypes of the parameters;
            float16 parameters and their gradients are passed as float32. Complex leaves are passed and returned as
            real views with a last dimension of 2, as in torch.
        needs: names of extra arguments that the caller has to pass, such as `value`, the loss; `update` gets them by
            keyword.
        as_real: pass False if `update` depends on the shapes of leaves or stores parameters: complex leaves are then
            passed as they are.

    Raises:
        ValueError: raised by `init` if a parameter is not a floating-point or complex tensor; raised by `update` if the
            gradients do not fit the parameters, the state is that of another transformation, or `update` returned no
            pair.

    >>> sign = make_transformation(
    ...     "sign", {"lr": 0.1}, no_buffers, lambda grads, buffers, params, hyper, count: (
    ...         tree.map(lambda g: -hyper["lr"].to(g.dtype) * g.sign(), grads), buffers))
    >>> params = {"w": torch.ones(2)}
    >>> sign.update({"w": torch.tensor([3.0, -4.0])}, sign.init(params), params)[0]
    {'w': tensor([-0.1000,  0.1000])}
    """

    schedules = {key: value for key, value in hyperparameters.items() if callable(value)}

    def init(params: Tree) -> State:
        for path, leaf in tree.leaves_with_paths(params):
            if not isinstance(leaf, Tensor) or not (leaf.is_floating_point() or leaf.is_complex()):
                what = f"dtype {leaf.dtype}" if isinstance(leaf, Tensor) else f"type {type(leaf).__name__}"
                raise ValueError(
                    f"{name}.init: parameter '{path}' has {what}, expected a floating-point or complex tensor; "
                    "keep other tensors in the buffers or remove them with tree.partition()"
                )
        count = zero_scalar(params, torch.int64)
        hyper = {key: current_value(value, count, f"{name}: {key}") for key, value in hyperparameters.items()}
        params = tree.map(to_compute_dtype, params)
        return State(count, hyper, init_buffers(tree.map(_view_as_real, params) if as_real else params))

    def checked_update(grads: Tree, state: State, params: Tree = None, **extra: Any) -> tuple[Tree, State]:
        (g, dtypes), p = match_gradients(name, grads, params), params
        if not isinstance(state, State) or set(state.hyperparameters) != set(hyperparameters):
            raise foreign_state_error(name)
        if missing := [need for need in needs if need not in extra]:
            raise ValueError(
                f"{name}.update: got no {missing[0]}; pass it by name: update(grads, state, params, {missing[0]}=...)"
            )
        extra = {need: extra[need] for need in needs}
        scheduled = {key: current_value(value, state.count, f"{name}: {key}") for key, value in schedules.items()}
        hyper = {**state.hyperparameters, **{key: materialize(value) for key, value in scheduled.items()}}
        if not dtypes.isdisjoint(COMPUTE_DTYPES):
            p = tree.map(to_compute_dtype, p)
        has_views = as_real and any(dtype.is_complex for dtype in dtypes)
        if has_views:
            g, p = tree.map(_view_as_real, g), tree.map(_view_as_real, p)
        try:
            result = update(g, state.buffers, p, hyper, state.count, **extra)
        except KeyError as error:
            if error.args and error.args[0] in state.buffers:
                raise
            raise foreign_state_error(name) from error
        updates, buffers = as_pair(result, f"{name}: its update", "(updates, buffers)")
        new_state = State(state.count + 1, {**state.hyperparameters, **scheduled}, buffers)
        return tree.map(_view_as_complex, updates, params) if has_views else updates, new_state

    return with_cast_updates(init, checked_update)


def stateless(
    name: str,
    hyperparameters: Mapping[str, ScalarOrSchedule],
    f: Callable[[Tree, Tree, Hyper, Count], Tree],
    *,
    as_real: bool = True,
) -> Transformation:
    """Makes a transformation without buffers from `f(grads, params, hyper, count) -> updates`.

    The other arguments are the same as in `make_transformation`.

    >>> half = stateless("half", {}, lambda grads, params, hyper, count: tree.map(lambda g: g / 2, grads))
    >>> params = {"w": torch.ones(2)}
    >>> half.update({"w": torch.tensor([3.0, -4.0])}, half.init(params), params)[0]
    {'w': tensor([ 1.5000, -2.0000])}

    Like `optax.stateless`.
    """

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        return f(grads, params, hyper, count), buffers

    return make_transformation(name, hyperparameters, no_buffers, update, as_real=as_real)


def no_buffers(params: Tree) -> Buffers:
    """The initial buffers of a transformation that has none."""
    return {}


def restrict_to(
    accepts: Callable[[Tensor], bool], expected: str, name: str, transformation: Transformation
) -> Transformation:
    """Returns `transformation` with an `init` that raises a ValueError for parameters that are not accepted."""

    def init(params: Tree) -> Tree:
        for path, leaf in tree.leaves_with_paths(params):
            if not accepts(leaf):
                raise ValueError(
                    f"{name}.init: parameter '{path}' has shape {tuple(leaf.shape)} and dtype {leaf.dtype}, expected "
                    f"{expected}; give it to another optimizer with optim.partition()"
                )
        return transformation.init(params)

    return replace(transformation, init=init)


def _view_as_real(leaf: Tensor) -> Tensor:
    return torch.view_as_real(leaf) if leaf.is_complex() else leaf


def _view_as_complex(update: Tensor, p: Tensor) -> Tensor:
    return torch.view_as_complex(update.contiguous()) if p.is_complex() else update
