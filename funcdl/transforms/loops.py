"""Loops: `scan` runs a function along the first dimension; in a graph it is one operation, whatever the length."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from funcdl import _torch, tree
from funcdl.context import functorch_is_active, in_fake_mode, in_graph
from funcdl.transforms.engine.scan_operator import scan_in_graph
from funcdl.transforms.shapes import eval_shape
from funcdl.tree import Tree

Body = Callable[[Tree, Tree], tuple[Tree, Tree]]


def scan(f: Body, init: Tree, xs: Tree = (), length: int | None = None) -> tuple[Tree, Tree]:
    r"""Runs `carry, y = f(carry, x)` for each `x` along the first dimension of `xs` and stacks the `y`.

    Inside `jit` the loop is one operation of the graph, so that compile time does not grow with its length. Outside of
    `jit`, and wherever it is differentiated or mapped (`grad` or `vmap` around the scan, or tensors that require a
    gradient), it is a plain loop, because gradients *through* torch's scan have been wrong before. A gradient taken
    inside `f`, as in a training step, does not make it a plain loop. For an ensemble write `scan(vmap(step), ...)`.

    Args:
        f: `(carry, x) -> (carry, y)`. The new carry has the structure, shapes and dtypes of the old one. `y` is a tree
            of dicts, tuples and lists; it may not contain NamedTuples, which torch's scan turns into tuples.
        init: the first carry: any tree of tensors, NamedTuples included.
        xs: a tree of tensors with equal first dimensions, or an empty tree together with `length`.
        length: the number of iterations, needed only if `xs` has no leaves.

    Returns:
        The last carry, and a tree like `y` whose leaves have the iterations as their first dimension. For zero
        iterations these are `init` and empty leaves.

    Raises:
        TypeError: a leaf is not a tensor, or `f` does not return a pair.
        ValueError: the first dimensions of `xs` differ, `f` changes the structure, shapes or dtypes of the carry, or,
            in a graph, `f` writes into a tensor that it did not create.

    Source: `jax.lax.scan`. In a graph it is torch's scan, or a plain loop if this torch has none.

    >>> scan(lambda total, x: (total + x, total + x), torch.tensor(0), torch.tensor([1, 2, 3]))
    (tensor(6), tensor([1, 3, 6]))
    """
    _require_tensors("the first carry", init)
    _require_tensors("xs", xs)
    steps = _length(xs, length)
    if not tree.leaves(xs):
        devices = [leaf.device for leaf in tree.leaves(init)]
        counter = torch.arange(steps, device=devices[0] if devices else None)  # gives the loop something to slice
        return scan(lambda carry, _: f(carry, xs), init, counter)
    if steps == 0:
        return init, _no_results(f, init, xs)
    values = tree.leaves(init) + tree.leaves(xs)
    if any(leaf.requires_grad for leaf in values) or functorch_is_active():
        return _loop(f, init, xs, steps)
    if in_graph():
        if _torch.missing_to_trace():
            return _loop(f, init, xs, steps)
        results = scan_in_graph(partial(_step, f), init, xs)
        # If a result requires a gradient, `f` closes over a tensor that does, which shows only now. The scan that is
        # not used then is removed from the graph as dead code.
        return _loop(f, init, xs, steps) if any(leaf.requires_grad for leaf in tree.leaves(results)) else results
    return (_scan_shapes if any(_torch.is_fake(leaf) for leaf in values) else _loop)(f, init, xs, steps)


def _no_results(f: Body, init: Tree, xs: Tree) -> Tree:
    """The stacked results of zero iterations: empty, with the shapes and dtypes that `eval_shape` finds."""
    computes_nothing = in_graph() or in_fake_mode()
    run = partial(_step, f) if computes_nothing else partial(eval_shape, partial(_step, f))
    _, y = run(init, tree.map(lambda leaf: leaf.new_empty(leaf.shape[1:]), xs))
    return tree.map(lambda leaf: torch.empty((0, *leaf.shape), dtype=leaf.dtype, device=leaf.device), y)


def _loop(f: Body, init: Tree, xs: Tree, steps: int) -> tuple[Tree, Tree]:
    carry, outputs = init, []
    for step in range(steps):
        carry, y = _step(f, carry, tree.map(lambda leaf: leaf[step], xs))  # noqa: B023 (called at once)
        outputs.append(y)
    return carry, tree.stack(outputs)


def _scan_shapes(f: Body, init: Tree, xs: Tree, steps: int) -> tuple[Tree, Tree]:
    """The results for `eval_shape`, which needs only their shapes: one iteration is enough to find these."""
    new, y = _step(f, init, tree.map(lambda leaf: leaf[0], xs))
    ys = tree.map(lambda leaf: leaf.new_empty((steps, *leaf.shape)), y)
    return tree.map(lambda leaf: leaf.new_empty(leaf.shape), new), ys


def _length(xs: Tree, length: int | None) -> int:
    sizes: set[Any] = {leaf.shape[0] if leaf.ndim else None for leaf in tree.leaves(xs)} or {length}
    if len(sizes) > 1 or None in sizes or length not in (None, *sizes):
        found = [f"{path or 'xs'} {tuple(leaf.shape)}" for path, leaf in tree.leaves_with_paths(xs)]
        raise ValueError(
            f"scan: all leaves of xs must have the same first dimension, equal to length if that is given; got "
            f"{', '.join(found) or 'no leaves'} and length={length}"
        )
    steps: int = sizes.pop()
    if steps < 0:
        raise ValueError(f"scan: length={steps}; expected 0 or more")
    return steps


def _step(f: Body, carry: Tree, x: Tree) -> tuple[Tree, Tree]:
    leaves, structure = tree.flatten((carry, x))
    result = f(*tree.unflatten(structure, leaves))  # rebuilt, so that `f` may change the containers
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"scan: f returned a {type(result).__name__}, expected the pair (carry, y); without a y return (carry, ())"
        )
    new, y = result
    _require_tensors("the new carry", new)
    _require_tensors("y", y)
    new = _like(carry, new)
    for (path, old), leaf in zip(tree.leaves_with_paths(carry), tree.leaves(new), strict=True):
        if old.shape != leaf.shape or old.dtype != leaf.dtype:
            raise ValueError(
                f"scan: f changed the carry's leaf '{path}' from {tuple(old.shape)} {old.dtype} to "
                f"{tuple(leaf.shape)} {leaf.dtype}; keep its shape and dtype"
            )
    if _has_namedtuple(y):
        raise ValueError("scan: f returned a NamedTuple as y; return a dict, tuple or list of tensors there")
    return new, y


def _like(carry: Tree, new: Tree) -> Tree:
    """Returns `new` with its dict keys in the order of `carry`, so that `f` gets the same order in each iteration."""
    leaves, structure = tree.flatten(carry)
    found = tree.flatten_as(structure, new)
    if found is None and tree.paths(carry) == tree.paths(new):  # such as a list instead of a tuple
        found = tree.leaves(new)
    if found is None:
        raise ValueError(
            f"scan: f changed the structure of the carry; return one like the one it was given: "
            f"{tree.difference(carry, new)}"
        )
    return tree.unflatten(structure, found) if leaves else new


def _require_tensors(what: str, part: Tree) -> None:
    for path, leaf in tree.leaves_with_paths(part):
        if not isinstance(leaf, Tensor):
            where = f"'{path}' in {what}" if path else what
            raise TypeError(f"scan: {where} is {leaf!r} of type {type(leaf).__name__}; expected a tensor")


def _has_namedtuple(part: Tree) -> bool:
    if isinstance(part, dict):
        return any(_has_namedtuple(child) for child in part.values())
    if isinstance(part, (tuple, list)):
        return tree.is_namedtuple(part) or any(_has_namedtuple(child) for child in part)
    return False
