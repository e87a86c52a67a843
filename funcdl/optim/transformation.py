"""The `Transformation` contract of optimizers: two pure functions and the state that is passed between them."""

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
      `apply_updates(params, updates)` adds them. `extra` is passed to every transformation of a chain; each uses the
      arguments that it needs and ignores the others.

    Gradients are cast to the dtypes of the parameters. The state has the same dtypes, except that it is float32 for
    float16 parameters, because in float16 1e-8 is 0 and the square of 300 is infinite. Updates are float32 throughout a
    chain as well, and only the final updates are float16.

    A NaN in a gradient makes the same element of the parameters NaN permanently. If a transformation computes norms or
    products, its documentation says which part of a leaf or of the tree becomes NaN. `zero_nans` and `apply_if_finite`
    prevent this.

    It is printed as its constructor call, and can be pickled if its functions are defined inside functions at the top
    level of a module.

    Both functions can be differentiated any number of times with respect to the gradients, the parameters, the state
    and its hyperparameters: eagerly, compiled and under `vmap`. Where a square root or a norm is zero and has no
    derivative, the derivative is defined as 0, like that of `abs`. The derivative of a sign or of a decision, such as
    whether to clip, is also 0.

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
    """Composes transformations: the first one gets the gradients, and each other one the updates of the previous one.

    Args:
        transformations: single transformations or whole optimizers, in the order in which they act.
        maximize: whether to negate the gradients first, so that the chain ascends. Fixed when the chain is made.

    Returns:
        A transformation whose state is the tuple of their states. Hyperparameters are therefore addressed by position:
        `"1.lr"` is the `lr` of the second transformation.

    Raises:
        ValueError: raised by `update` if the state does not come from this chain's `init`.

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
                f"chain of {len(transformations)}: update() got a state that is not a tuple of that length; "
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
            f"apply_updates: the updates are not a tree like the parameters: {differing_paths(updates, params)}; pass "
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
    """Makes a transformation from an `update` that returns float32 updates for float16 parameters.

    The transformation casts them to float16. Chains and wrappers call `update` itself, through `inner_update`, so that
    nothing is rounded to float16 between transformations, where large sums of gradients would be infinite.
    """

    def cast_update(grads: Tree, state: Tree, params: Tree = None, **extra: Any) -> tuple[Tree, Tree]:
        updates, state = update(grads, state, params, **extra)
        return updates if params is None else to_param_dtypes(params, updates), state

    return Transformation(init, cast_update, update)


def inner_update(
    owner: str, transformation: Transformation, grads: Tree, state: Tree, params: Tree, extra: dict[str, Any]
) -> tuple[Tree, Tree]:
    """Calls the update of a transformation inside another one; updates of float16 parameters stay float32.

    Raises:
        ValueError: the update did not return a pair; `owner` is the name of the update in the message.
    """
    update = transformation.compute_update or transformation.update
    return as_pair(update(grads, state, params, **extra), owner, "(updates, state)")


def check_is_transformation(owner: str, value: Any, what: str = "the optimizer") -> None:
    """Raises a ValueError unless `value` is a transformation, such as for `adam` instead of `adam()`."""
    if not isinstance(value, Transformation):
        advice = f"call it: {value.__name__}()" if hasattr(value, "__name__") else "pass one, such as optim.adam()"
        raise ValueError(f"{owner}: {what} is {value!r}, expected a transformation; {advice}")


def _negative(grad: Tensor) -> Tensor:
    return -grad if isinstance(grad, Tensor) else grad  # a leaf that is not a tensor raises an error later
