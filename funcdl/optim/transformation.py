"""What an optimizer is here: two functions, the state between them, and numbers that may change while it runs.

An optimizer is a `chain` of parts, and each part is made by `part`: a few numbers, what it remembers of past gradients,
and the maths of one update. `part` owns everything that all of them share: the counter, the schedules and the errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from funcdl import tree
from funcdl.closures import OfFunctions
from funcdl.optim.hyperparameters import Number, State, current_value, once, zero_beside
from funcdl.tree import Tree


@dataclass(frozen=True, repr=False)
class Transformation(OfFunctions):
    """Two pure functions that turn gradients into updates, in the direction of descent unless told to `maximize`.

    - `init(params) -> state`: a tree of tensors.
    - `update(grads, state, params, **extra) -> (updates, state)`: `updates` has the shapes of `params`, and
      `apply_updates(params, updates)` adds it. `extra` reaches every part of a chain; a part takes what it knows.

    A NaN in the gradients makes the element of the parameters that it belongs to NaN, for good; a part that looks at
    more than single elements says how much of a leaf or of the tree goes with it. `zero_nans` and `apply_if_finite`
    keep it out.

    It prints as the call that makes it, and is pickled if its functions are made by functions at the top of a module.

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


def chain(*transformations: Transformation, maximize: bool = False) -> Transformation:
    """Composes transformations: each one takes the updates of the one before it, the first one the gradients.

    Args:
        transformations: parts or whole optimizers, in the order in which they act.
        maximize: whether to negate the gradients first, so that the chain ascends. Fixed when the chain is made.

    Returns:
        A transformation whose state is the tuple of their states, so their numbers are addressed by position:
        `"1.lr"` is the `lr` of the second one.

    Raises:
        ValueError: by `update`, when the state is not one that this chain's `init` makes.

    >>> from funcdl import optim
    >>> optimizer = optim.chain(optim.clip_by_global_norm(1.0), optim.adadelta(lr=0.5))
    >>> list(optim.get_hyperparameters(optimizer.init({"w": torch.ones(2)})))
    ['0.max_norm', '1.0.weight_decay', '1.1.rho', '1.1.eps', '1.2.lr']
    """

    def init(params: Tree) -> tuple[Tree, ...]:
        return tuple(transformation.init(params) for transformation in transformations)

    def update(grads: Tree, state: Tree, params: Tree = None, **extra: Any) -> tuple[Tree, tuple[Tree, ...]]:
        if not isinstance(state, tuple) or isinstance(state, State) or len(state) != len(transformations):
            raise ValueError(
                f"chain of {len(transformations)}: update() got a state that is no tuple of that length; "
                "pass what init(params) or the last update() of this chain returned"
            )
        updates = tree.map(torch.neg, grads) if maximize else grads
        states = []
        for transformation, old in zip(transformations, state, strict=True):
            updates, new = transformation.update(updates, old, params, **extra)
            states.append(new)
        return updates, tuple(states)

    return Transformation(init, update)


def apply_updates(params: Tree, updates: Tree) -> Tree:
    """Returns `params + updates`, leaf by leaf, each in the dtype of its parameter.

    Raises:
        ValueError: the trees differ in structure.

    >>> apply_updates({"w": torch.ones(2)}, {"w": torch.tensor([-0.5, 0.5])})
    {'w': tensor([0.5000, 1.5000])}
    """
    return tree.map(lambda p, u: (p + u).to(p.dtype), params, updates)


def part(
    name: str,
    numbers: Mapping[str, Number],
    remember: Callable[[Tree], dict[str, Tree]],
    update: Callable[..., tuple[Tree, dict[str, Tree]]],
    *,
    needs: Sequence[str] = (),
    as_real: bool = True,
) -> Transformation:
    """Makes one part of an optimizer from its maths; all parts of this library are made by it.

    Args:
        name: what errors call it.
        numbers: the numbers that may change, each a float, a 0-dim tensor or a schedule (see `number`).
        remember: `params -> memory`, a dict of trees before the first update.
        update: `(grads, memory, params, h, count) -> (updates, memory)`, pure. `h` has the numbers as 0-dim float64
            tensors and `count` is the number of updates before this one. Compute what is one number for all leaves
            in float64 and pass it through `once`; cast it to each leaf's dtype where it is used, as `scale` does. A
            complex leaf comes, and its update goes, as its real view with a last dimension of 2, as torch does it.
        needs: names of extra arguments that the caller's update must give, such as `value`, the loss; the maths gets
            them by keyword.
        as_real: False for maths that asks for a leaf's shape, or keeps parameters: complex leaves come as they are.

    >>> sign = part("sign", {"lr": 0.1}, lambda params: {}, lambda grads, memory, params, h, count: (
    ...     tree.map(lambda g: -h["lr"].to(g.dtype) * g.sign(), grads), memory))
    >>> params = {"w": torch.ones(2)}
    >>> sign.update({"w": torch.tensor([3.0, -4.0])}, sign.init(params), params)[0]
    {'w': tensor([-0.1000,  0.1000])}
    """

    schedules = {key: number for key, number in numbers.items() if callable(number)}

    def init(params: Tree) -> State:
        for path, leaf in tree.leaves_with_paths(params):
            if not isinstance(leaf, Tensor) or not (leaf.is_floating_point() or leaf.is_complex()):
                what = f"dtype {leaf.dtype}" if isinstance(leaf, Tensor) else f"type {type(leaf).__name__}"
                raise ValueError(
                    f"{name}.init: parameter '{path}' has {what}, expected a floating-point or complex tensor; "
                    "keep other things in the buffers or split them off with tree.partition()"
                )
        count = zero_beside(params, torch.int64)
        values = {key: current_value(number, count, f"{name}: {key}") for key, number in numbers.items()}
        return State(count, values, remember(_real(params) if as_real else params))

    def checked_update(grads: Tree, state: State, params: Tree = None, **extra: Any) -> tuple[Tree, State]:
        leaves = check_match(name, grads, params)
        if not isinstance(state, State):
            raise ValueError(
                f"{name}: update() got another state than its own; pass what init(params) or the last update() returned"
            )
        if missing := [need for need in needs if need not in extra]:
            raise ValueError(
                f"{name}.update: got no {missing[0]}; pass it by name: update(grads, state, params, {missing[0]}=...)"
            )
        known = {need: extra[need] for need in needs}
        values = {key: current_value(schedule, state.count, f"{name}: {key}") for key, schedule in schedules.items()}
        h = {**state.hyperparameters, **{key: once(value) for key, value in values.items()}}
        with_views = as_real and any(leaf.is_complex() for leaf in leaves)
        g, p = (_real(grads), _real(params)) if with_views else (grads, params)
        updates, memory = update(g, state.memory, p, h, state.count, **known)
        after = State(state.count + 1, {**state.hyperparameters, **values}, memory)
        return _complex(updates, params) if with_views else updates, after

    return Transformation(init, checked_update)


def _real(values: Tree) -> Tree:
    return tree.map(lambda leaf: torch.view_as_real(leaf) if leaf.is_complex() else leaf, values)


def _complex(updates: Tree, params: Tree) -> Tree:
    return tree.map(lambda u, p: torch.view_as_complex(u.contiguous()) if p.is_complex() else u, updates, params)


def check_match(name: str, grads: Tree, params: Tree) -> list[Tensor]:
    """Refuses missing parameters, and gradients that are no tree like the parameters or of other shapes.

    Returns:
        The leaves of the parameters.

    >>> check_match("adam", {"w": torch.ones(2)}, {"w": torch.ones(3)})
    Traceback (most recent call last):
    ValueError: adam.update: the gradient of 'w' has shape (2,), expected (3,); take it by grad() of these params
    """
    if params is None:
        raise ValueError(
            f"{name}.update: got no params; pass the parameters that the gradients belong to: "
            "update(grads, state, params)"
        )
    p_leaves, structure = tree.flatten(params)
    g_leaves = tree.flatten_as(structure, grads)
    if g_leaves is None:
        theirs, mine = tree.paths(grads), tree.paths(params)
        raise ValueError(
            f"{name}.update: the gradients are no tree like the parameters: missing "
            f"{[p for p in mine if p not in theirs][:3] or 'nothing'}, unexpected "
            f"{[p for p in theirs if p not in mine][:3] or 'nothing'}; take them by grad() of these params"
        )
    for number, (g, p) in enumerate(zip(g_leaves, p_leaves, strict=True)):
        if not isinstance(g, Tensor) or g.shape != p.shape:
            found = f"has shape {tuple(g.shape)}, expected" if isinstance(g, Tensor) else f"is {g!r}, expected shape"
            raise ValueError(
                f"{name}.update: the gradient of '{tree.paths(params)[number]}' {found} {tuple(p.shape)}; take it by "
                "grad() of these params"
            )
    return p_leaves
