"""What an optimizer is here: a pair of pure functions and the state that is passed between them.

An optimizer is a `chain` of transformations, and `make_transformation` makes each of them from its mathematics: a few
hyperparameters, the buffers that it keeps between updates, and the computation of one update. `make_transformation`
does what all of them have in common: the counter, the schedules and the checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate

import torch
from torch import Tensor

from funcdl import tree
from funcdl.closures import OfFunctions
from funcdl.optim.hyperparameters import Count, Scalar, ScalarOrSchedule, current_value, materialize
from funcdl.optim.precision import COMPUTE_DTYPES, to_compute_dtype, to_param_dtypes
from funcdl.optim.state import State, zero_scalar
from funcdl.optim.validation import as_pair, describe_mismatch, differing_paths, foreign_state_error, match_gradients
from funcdl.tree import Tree

Buffers = dict[str, Tree]  # what a transformation keeps between updates, such as moving averages, by name
Hyper = dict[str, Scalar]  # the values of the hyperparameters at this update, 0-dim float64, by name
Update = Callable[Concatenate[Tree, Buffers, Tree, Hyper, Count, ...], tuple[Tree, Buffers]]
"""`(grads, buffers, params, hyper, count) -> (updates, buffers)`: the mathematics of a transformation."""


@dataclass(frozen=True, repr=False)
class Transformation(OfFunctions):
    """Two pure functions that turn gradients into updates, in the direction of descent unless asked to `maximize`.

    - `init(params) -> state`: a tree of tensors.
    - `update(grads, state, params, **extra) -> (updates, state)`: `updates` has the shapes and dtypes of `params`, and
      `apply_updates(params, updates)` adds it. `extra` reaches every transformation of a chain, which uses what it
      knows and ignores the rest.

    Gradients of another dtype than the parameters are cast to theirs. The state has the dtype of the parameters too,
    except for float16, in which 1e-8 is 0 and the square of 300 infinite: it is float32 in the state and throughout a
    chain, and only the final updates are float16.

    A NaN in a gradient makes the same element of the parameters NaN, for good; where a transformation computes norms
    or products, its documentation says how much of a leaf or of the tree becomes NaN. `zero_nans` and
    `apply_if_finite` prevent it.

    It prints as the call that makes it, and can be pickled if its functions are made by functions at the top of a
    module.

    Both functions can be differentiated, as often as wanted: by the gradients, the parameters, the state and its
    hyperparameters, eagerly, compiled and under `vmap`. The derivative of a square root or a norm at zero, which does
    not exist, is 0, as that of `abs` is; so is that of a sign or of a decision, such as whether to clip.

    >>> from funcdl import optim
    >>> optimizer = optim.sgd(lr=0.5)
    >>> params = {"w": torch.ones(2)}
    >>> state = optimizer.init(params)
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, 2.0])}, state, params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.5000, 0.0000])}
    """

    init: Callable[[Tree], Tree]
    update: Callable[..., tuple[Tree, Tree]]
    # `update` before its results are cast from the compute dtype to float16; see `with_cast_updates`
    compute_update: Callable[..., tuple[Tree, Tree]] | None = field(default=None, repr=False)


def chain(*transformations: Transformation, maximize: bool = False) -> Transformation:
    """Composes transformations: each one takes the updates of the one before it, the first one the gradients.

    Args:
        transformations: single transformations or whole optimizers, in the order in which they act.
        maximize: whether to negate the gradients first, so that the chain ascends. Fixed when the chain is made.

    Returns:
        A transformation whose state is the tuple of their states, so hyperparameters are addressed by position:
        `"1.lr"` is the `lr` of the second one.

    Raises:
        ValueError: by `update`, when the state is not one that this chain's `init` makes.

    >>> from funcdl import optim
    >>> optimizer = optim.chain(optim.clip_by_global_norm(1.0), optim.adadelta(lr=0.5))
    >>> list(optim.get_hyperparameters(optimizer.init({"w": torch.ones(2)})))
    ['0.max_norm', '1.0.weight_decay', '1.1.rho', '1.1.eps', '1.2.lr']
    """

    for position, transformation in enumerate(transformations):
        check_is_transformation("chain", transformation, f"argument {position}")

    def init(params: Tree) -> tuple[Tree, ...]:
        return tuple(transformation.init(params) for transformation in transformations)

    def update(grads: Tree, state: Tree, params: Tree = None, **extra: Any) -> tuple[Tree, tuple[Tree, ...]]:
        if not isinstance(state, tuple) or isinstance(state, State) or len(state) != len(transformations):
            raise ValueError(
                f"chain of {len(transformations)}: update() got a state that is no tuple of that length; "
                "pass what init(params) or the last update() of this chain returned"
            )
        updates = tree.map(_negative, grads) if maximize else grads
        states = []
        for position, (transformation, old) in enumerate(zip(transformations, state, strict=True)):
            owner = f"chain: the update of transformation {position}"
            updates, new = inner_update(owner, transformation, updates, old, params, extra)
            states.append(new)
        return updates, tuple(states)

    return with_cast_updates(init, update)


def apply_updates(params: Tree, updates: Tree) -> Tree:
    """Returns `params + updates`, leaf by leaf, each in the dtype of its parameter.

    Raises:
        ValueError: the trees differ in structure or shapes, or a complex update meets a real parameter.

    >>> apply_updates({"w": torch.ones(2)}, {"w": torch.tensor([-0.5, 0.5])})
    {'w': tensor([0.5000, 1.5000])}
    """
    p_leaves, structure = tree.flatten(params)
    u_leaves = tree.flatten_as(structure, updates)
    if u_leaves is None:
        raise ValueError(
            f"apply_updates: the updates are no tree like the parameters: {differing_paths(updates, params)}; pass "
            "what update(grads, state, params) returned for these params"
        )
    for index, (p, u) in enumerate(zip(p_leaves, u_leaves, strict=True)):
        if not isinstance(u, Tensor) or u.shape != p.shape or u.dtype.is_complex > p.dtype.is_complex:
            raise ValueError(
                f"apply_updates: the update of {describe_mismatch(u, p, tree.paths(params)[index])}; pass what "
                "update(grads, state, params) returned for these params"
            )
    sums = [p + u for p, u in zip(p_leaves, u_leaves, strict=True)]
    return tree.unflatten(
        structure, [s if s.dtype == p.dtype else s.to(p.dtype) for s, p in zip(sums, p_leaves, strict=True)]
    )


def make_transformation(
    name: str,
    hyperparameters: Mapping[str, ScalarOrSchedule],
    init_buffers: Callable[[Tree], Buffers],
    update: Update,
    *,
    needs: Sequence[str] = (),
    as_real: bool = True,
) -> Transformation:
    """Makes a transformation from its mathematics; all of this library's are made by it.

    Args:
        name: what errors call it.
        hyperparameters: by name, each a float, a 0-dim tensor or a schedule.
        init_buffers: `params -> buffers`, a dict of trees: the buffers before the first update.
        update: `(grads, buffers, params, hyper, count) -> (updates, buffers)`, pure. `hyper` has the hyperparameters
            as 0-dim float64 tensors, and `count` is the number of updates before this one. Compute scalars that all
            leaves share in float64 and pass them through `materialize`; cast them to each leaf's dtype where they are
            used, as `scale` does. The gradients come in the dtypes of the parameters, float16 leaves of both as
            float32. Complex leaves come, and their updates go, as real views with a last dimension of 2, as in torch.
        needs: names of extra arguments that the caller's update must give, such as `value`, the loss; `update` gets
            them by keyword.
        as_real: False for an `update` that depends on the shapes of leaves, or keeps parameters: complex leaves then
            come as they are.

    Raises:
        ValueError: by `init`, when a parameter is no floating-point or complex tensor; by `update`, when the gradients
            do not fit the parameters, the state is that of another transformation, or `update` returned no pair.

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
                    "keep other things in the buffers or split them off with tree.partition()"
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

    The other arguments are those of `make_transformation`.

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


def with_cast_updates(init: Callable[[Tree], Tree], update: Callable[..., tuple[Tree, Tree]]) -> Transformation:
    """Makes a transformation of an `update` that returns float32 updates for float16 parameters.

    Chains and wrappers call `update` itself, by `inner_update`: between transformations nothing is rounded to float16,
    in which a sum of gradients that a small learning rate follows may be infinite.
    """

    def cast_update(grads: Tree, state: Tree, params: Tree = None, **extra: Any) -> tuple[Tree, Tree]:
        updates, state = update(grads, state, params, **extra)
        return updates if params is None else to_param_dtypes(params, updates), state

    return Transformation(init, cast_update, update)


def inner_update(
    owner: str, transformation: Transformation, grads: Tree, state: Tree, params: Tree, extra: dict[str, Any]
) -> tuple[Tree, Tree]:
    """Updates by a transformation inside another one: updates of float16 parameters stay float32.

    Raises:
        ValueError: the update returned no pair; `owner` is what the error calls the update.
    """
    update = transformation.compute_update or transformation.update
    return as_pair(update(grads, state, params, **extra), owner, "(updates, state)")


def restrict_to(
    accepts: Callable[[Tensor], bool], expected: str, name: str, transformation: Transformation
) -> Transformation:
    """Returns `transformation` with an `init` that refuses parameters which its mathematics is not defined for."""

    def init(params: Tree) -> Tree:
        for path, leaf in tree.leaves_with_paths(params):
            if not accepts(leaf):
                raise ValueError(
                    f"{name}.init: parameter '{path}' has shape {tuple(leaf.shape)} and dtype {leaf.dtype}, expected "
                    f"{expected}; give it to another optimizer by optim.partition()"
                )
        return transformation.init(params)

    return replace(transformation, init=init)


def check_is_transformation(owner: str, value: Any, what: str = "the optimizer") -> None:
    """Refuses what is no transformation, such as `adam` in place of `adam()`."""
    if not isinstance(value, Transformation):
        advice = f"call it: {value.__name__}()" if hasattr(value, "__name__") else "pass one such as optim.adam()"
        raise ValueError(f"{owner}: {what} is {value!r}, expected a transformation; {advice}")


def _negative(grad: Tensor) -> Tensor:
    return -grad if isinstance(grad, Tensor) else grad  # what is no tensor, the transformations refuse by name


def _view_as_real(leaf: Tensor) -> Tensor:
    return torch.view_as_real(leaf) if leaf.is_complex() else leaf


def _view_as_complex(update: Tensor, p: Tensor) -> Tensor:
    return torch.view_as_complex(update.contiguous()) if p.is_complex() else update
