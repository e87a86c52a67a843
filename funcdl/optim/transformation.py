"""What an optimizer is here: a pair of pure functions and the state that is passed between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from funcdl import tree
from funcdl.function_bundle import FunctionBundle
from funcdl.optim.precision import to_param_dtypes
from funcdl.optim.state import State
from funcdl.optim.validation import as_pair, describe_mismatch, differing_paths
from funcdl.tree import Tree


@dataclass(frozen=True, repr=False)
class Transformation(FunctionBundle):
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

    >>> import torch
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

    >>> import torch
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

    >>> import torch
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


def check_is_transformation(owner: str, value: Any, what: str = "the optimizer") -> None:
    """Raises a ValueError unless `value` is a transformation; it may be `adam` in place of `adam()`."""
    if not isinstance(value, Transformation):
        advice = f"call it: {value.__name__}()" if hasattr(value, "__name__") else "pass one such as optim.adam()"
        raise ValueError(f"{owner}: {what} is {value!r}, expected a transformation; {advice}")


def _negative(grad: Tensor) -> Tensor:
    return -grad if isinstance(grad, Tensor) else grad  # what is no tensor, the transformations refuse by name
