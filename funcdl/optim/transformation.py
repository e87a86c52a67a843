"""What an optimizer is here: two functions, the state between them, and numbers that may change while it runs.

An optimizer is a `chain` of parts, and each part is made by `part`: a few numbers, what it remembers of past gradients,
and the maths of one update. `part` owns everything that all of them share: the counter, the schedules and the errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from funcdl import tree
from funcdl.closures import OfFunctions
from funcdl.optim.hyperparameters import Number, State, current_value, once, zero_beside
from funcdl.tree import Tree

_WIDER = {torch.float16: torch.float32, torch.complex32: torch.complex64}


@dataclass(frozen=True, repr=False)
class Transformation(OfFunctions):
    """Two pure functions that turn gradients into updates, in the direction of descent unless told to `maximize`.

    - `init(params) -> state`: a tree of tensors.
    - `update(grads, state, params, **extra) -> (updates, state)`: `updates` has the shapes and dtypes of `params`, and
      `apply_updates(params, updates)` adds it. `extra` reaches every part of a chain; a part takes what it knows.

    Gradients may have another dtype than the parameters, in which they are computed with. What is kept of them, and of
    the parameters, has the dtype of the parameters too. Only float16, in which 1e-8 is 0 and the square of 300
    infinite, is float32 in the state and all the way through a chain; the updates that come out of it are float16.

    A NaN in the gradients makes the element of the parameters that it belongs to NaN, for good; a part that looks at
    more than single elements says how much of a leaf or of the tree goes with it. `zero_nans` and `apply_if_finite`
    keep it out.

    It prints as the call that makes it, and is pickled if its functions are made by functions at the top of a module.

    Both functions can be differentiated, as often as wanted: by the gradients, the parameters, the state and its
    numbers, eagerly, compiled and under `vmap`. Where a root or a norm is taken of zero, which has no derivative, its
    derivative is 0, as that of `abs` is; so is that of a sign or of a decision, such as whether to clip.

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
    wide_update: Callable[..., tuple[Tree, Tree]] | None = field(default=None, repr=False)  # see `transforming`


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
            whose = f"chain: the update of transformation {position}"
            updates, new = wide_update(whose, transformation, updates, old, params, extra)
            states.append(new)
        return updates, tuple(states)

    return transforming(init, update)


def apply_updates(params: Tree, updates: Tree) -> Tree:
    """Returns `params + updates`, leaf by leaf, each in the dtype of its parameter.

    Raises:
        ValueError: the trees differ in structure or shapes, or a complex update meets a real parameter.

    >>> apply_updates({"w": torch.ones(2)}, {"w": torch.tensor([-0.5, 0.5])})
    {'w': tensor([0.5000, 1.5000])}
    """
    leaves, structure = tree.flatten(params)
    steps = tree.flatten_as(structure, updates)
    if steps is None:
        raise ValueError(
            f"apply_updates: the updates are no tree like the parameters: {_differing(updates, params)}; pass what "
            "update(grads, state, params) returned for these params"
        )
    for number, (p, u) in enumerate(zip(leaves, steps, strict=True)):
        if not isinstance(u, Tensor) or u.shape != p.shape or u.dtype.is_complex > p.dtype.is_complex:
            raise ValueError(
                f"apply_updates: the update of {_mismatch(u, p, tree.paths(params)[number])}; pass what "
                "update(grads, state, params) returned for these params"
            )
    sums = [p + u for p, u in zip(leaves, steps, strict=True)]
    return tree.unflatten(
        structure, [s if s.dtype == p.dtype else s.to(p.dtype) for s, p in zip(sums, leaves, strict=True)]
    )


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
            in float64 and pass it through `once`; cast it to each leaf's dtype where it is used, as `scale` does. The
            gradients come in the dtypes of the parameters, float16 leaves of both as float32. A complex leaf comes,
            and its update goes, as its real view with a last dimension of 2, as torch does it.
        needs: names of extra arguments that the caller's update must give, such as `value`, the loss; the maths gets
            them by keyword.
        as_real: False for maths that asks for a leaf's shape, or keeps parameters: complex leaves come as they are.

    Raises:
        ValueError: by `init`, when a parameter is no floating-point or complex tensor; by `update`, when the gradients
            do not fit the parameters, the state is that of another part, or the maths returned no pair.

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
        wide = tree.map(_widened, params)
        return State(count, values, remember(tree.map(_real, wide) if as_real else wide))

    def checked_update(grads: Tree, state: State, params: Tree = None, **extra: Any) -> tuple[Tree, State]:
        (g, dtypes), p = matched(name, grads, params), params
        if not isinstance(state, State) or set(state.hyperparameters) != set(numbers):
            raise _other_state(name)
        if missing := [need for need in needs if need not in extra]:
            raise ValueError(
                f"{name}.update: got no {missing[0]}; pass it by name: update(grads, state, params, {missing[0]}=...)"
            )
        known = {need: extra[need] for need in needs}
        values = {key: current_value(schedule, state.count, f"{name}: {key}") for key, schedule in schedules.items()}
        h = {**state.hyperparameters, **{key: once(value) for key, value in values.items()}}
        if not dtypes.isdisjoint(_WIDER):
            p = tree.map(_widened, p)
        with_views = as_real and any(dtype.is_complex for dtype in dtypes)
        if with_views:
            g, p = tree.map(_real, g), tree.map(_real, p)
        try:
            result = update(g, state.memory, p, h, state.count, **known)
        except KeyError as error:
            if error.args and error.args[0] in state.memory:
                raise
            raise _other_state(name) from error
        updates, memory = _pair(result, f"{name}: its update", "(updates, memory)")
        after = State(state.count + 1, {**state.hyperparameters, **values}, memory)
        return tree.map(_complex, updates, params) if with_views else updates, after

    return transforming(init, checked_update)


def transforming(init: Callable[[Tree], Tree], update: Callable[..., tuple[Tree, Tree]]) -> Transformation:
    """Makes a transformation of an `update` that returns float32 for float16 parameters, and for others their dtype.

    As it is, `update` is what a chain or a wrapper calls, by `wide_update`: between its parts no update is rounded to
    float16, in which a sum of gradients that a small rate follows may be infinite.
    """

    def narrow_update(grads: Tree, state: Tree, params: Tree = None, **extra: Any) -> tuple[Tree, Tree]:
        updates, state = update(grads, state, params, **extra)
        return updates if params is None else in_dtypes_of(params, updates), state

    return Transformation(init, narrow_update, update)


def wide_update(
    whose: str, transformation: Transformation, grads: Tree, state: Tree, params: Tree, extra: dict[str, Any]
) -> tuple[Tree, Tree]:
    """Returns what the update of a transformation returns for who acts on its results; see `transforming`.

    Raises:
        ValueError: it returned no pair; `whose` is what the error calls the update.
    """
    update = transformation.wide_update or transformation.update
    return _pair(update(grads, state, params, **extra), whose, "(updates, state)")


def in_dtypes_of(params: Tree, values: Tree) -> Tree:
    """Returns `values`, those beside float16 parameters in float16.

    >>> in_dtypes_of({"w": torch.ones(1, dtype=torch.float16)}, {"w": torch.zeros(1)})
    {'w': tensor([0.], dtype=torch.float16)}
    """
    if {leaf.dtype for leaf in tree.leaves(params)}.isdisjoint(_WIDER):
        return values
    return tree.map(lambda p, value: value.to(p.dtype), params, values)


def matched(name: str, grads: Tree, params: Tree) -> tuple[Tree, set[torch.dtype]]:
    """Returns the gradients in the dtypes of the parameters, or float32 for float16; and these dtypes.

    Raises:
        ValueError: there are no parameters, or the gradients are no tree like them, have other shapes, or are complex
            for real parameters.

    >>> matched("adam", {"w": torch.ones(2)}, {"w": torch.ones(3)})
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
        raise ValueError(
            f"{name}.update: the gradients are no tree like the parameters: {_differing(grads, params)}; take them by "
            "grad() of these params"
        )
    are_tensors = all(issubclass(kind, Tensor) for kind in {type(g) for g in g_leaves})
    if not are_tensors or [g.shape for g in g_leaves] != [p.shape for p in p_leaves]:
        for number, (g, p) in enumerate(zip(g_leaves, p_leaves, strict=True)):
            if not isinstance(g, Tensor) or g.shape != p.shape:
                raise _unfit(name, g, p, tree.paths(params)[number])
    dtypes = [p.dtype for p in p_leaves]
    found = set(dtypes)
    if found.isdisjoint(_WIDER) and dtypes == [g.dtype for g in g_leaves]:
        return tree.unflatten(structure, g_leaves), found
    for number, (g, p) in enumerate(zip(g_leaves, p_leaves, strict=True)):
        if g.is_complex() and not p.is_complex():
            raise _unfit(name, g, p, tree.paths(params)[number])
    cast = [g.to(_WIDER.get(dtype, dtype)) for g, dtype in zip(g_leaves, dtypes, strict=True)]
    return tree.unflatten(structure, cast), found


def check_is_transformation(owner: str, value: Any, what: str = "the optimizer") -> None:
    """Refuses what is no transformation, such as `adam` in place of `adam()`."""
    if not isinstance(value, Transformation):
        way_out = f"call it: {value.__name__}()" if hasattr(value, "__name__") else "pass one such as optim.adam()"
        raise ValueError(f"{owner}: {what} is {value!r}, expected a transformation; {way_out}")


def _pair(result: Any, whose: str, expected: str) -> tuple[Tree, Tree]:
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        size = f" of {len(result)}" if isinstance(result, (tuple, list)) else ""
        raise ValueError(f"{whose} returned a {type(result).__name__}{size}, expected the pair {expected}")
    first, second = result
    return first, second


def _negative(grad: Tensor) -> Tensor:
    return -grad if isinstance(grad, Tensor) else grad  # what is no tensor is refused by name, by the parts


def _widened(leaf: Tensor) -> Tensor:
    return leaf.to(_WIDER.get(leaf.dtype, leaf.dtype))


def _real(leaf: Tensor) -> Tensor:
    return torch.view_as_real(leaf) if leaf.is_complex() else leaf


def _complex(update: Tensor, p: Tensor) -> Tensor:
    return torch.view_as_complex(update.contiguous()) if p.is_complex() else update


def _unfit(name: str, g: Any, p: Tensor, path: str) -> ValueError:
    return ValueError(f"{name}.update: the gradient of {_mismatch(g, p, path)}; take it by grad() of these params")


def _other_state(name: str) -> ValueError:
    return ValueError(
        f"{name}: update() got another state than its own; pass what init(params) or the last update() returned"
    )


def _differing(values: Tree, params: Tree) -> str:
    theirs, mine = tree.paths(values), tree.paths(params)
    return (
        f"missing {[p for p in mine if p not in theirs][:3] or 'nothing'}, "
        f"unexpected {[p for p in theirs if p not in mine][:3] or 'nothing'}"
    )


def _mismatch(value: Any, p: Tensor, path: str) -> str:
    if not isinstance(value, Tensor):
        return f"'{path}' is {value!r}, expected shape {tuple(p.shape)}"
    if value.shape != p.shape:
        return f"'{path}' has shape {tuple(value.shape)}, expected {tuple(p.shape)}"
    return f"'{path}' has dtype {value.dtype}, expected a real one as {p.dtype} of the parameter is"
