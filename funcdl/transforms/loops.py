"""Loops: `scan` runs a function along the first dimension, in a graph as one operation whatever the length."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from funcdl import _torch, tree
from funcdl.context import functorch_is_active, in_graph, without_data
from funcdl.transforms.engine.scan_operator import scan_in_graph
from funcdl.transforms.shapes import eval_shape
from funcdl.tree import Tree

Body = Callable[[Tree, Tree], tuple[Tree, Tree]]


def scan(f: Body, init: Tree, xs: Tree = (), length: int | None = None) -> tuple[Tree, Tree]:
    r"""Runs `carry, y = f(carry, x)` for each `x` along the first dimension of `xs` and stacks the `y`.

    Inside `jit` the loop is one operation of the graph, so that compile time does not grow with its length. Elsewhere,
    and wherever it is differentiated or mapped (`grad`, `vmap` around the scan, or tensors that require a gradient),
    it is a plain loop: gradients *through* torch's scan have been wrong before. A gradient taken inside `f`, as in a
    training step, costs nothing of the kind; for an ensemble write `scan(vmap(step), ...)`.

    Args:
        f: `(carry, x) -> (carry, y)`. The new carry has the structure, shapes and dtypes of the old one; `y` is a tree
            of dicts, tuples and lists (no NamedTuple, whose class torch's scan forgets).
        init: the first carry, any tree of tensors, NamedTuples included.
        xs: a tree of tensors with one first dimension, or an empty tree, with `length`.
        length: the number of iterations, needed only if `xs` has no leaves.

    Returns:
        The last carry, and a tree like `y` whose leaves have the iterations as their first dimension. Of no iterations
        the first carry, and empty leaves.

    Raises:
        TypeError: a leaf is not a tensor, or `f` does not return a pair.
        ValueError: leaves of `xs` that differ in their first dimension, a carry that changes its structure, shapes or
            dtypes, or, in a graph, an `f` that writes into a tensor that it has not made.

    Source: `jax.lax.scan`; in a graph torch's scan, where this torch has it, else a loop there too.

    >>> scan(lambda total, x: (total + x, total + x), torch.tensor(0), torch.tensor([1, 2, 3]))
    (tensor(6), tensor([1, 3, 6]))
    """
    _require_tensors("the first carry", init)
    _require_tensors("xs", xs)
    steps = _length(xs, length)
    if not tree.leaves(xs):
        devices = [leaf.device for leaf in tree.leaves(init)]
        counter = torch.arange(steps, device=devices[0] if devices else None)  # nothing to slice: count instead
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
        # That `f` closes over a tensor that requires a gradient only the results tell; the graph drops the unused scan.
        return _loop(f, init, xs, steps) if any(leaf.requires_grad for leaf in tree.leaves(results)) else results
    return (_scan_shapes if any(_torch.is_fake(leaf) for leaf in values) else _loop)(f, init, xs, steps)


def _no_results(f: Body, init: Tree, xs: Tree) -> Tree:
    """The results of no iteration: empty, with the shapes and dtypes that `eval_shape` finds."""
    no_data = in_graph() or without_data()  # and so what is computed here is dropped
    run = partial(_step, f) if no_data else partial(eval_shape, partial(_step, f))
    _, y = run(init, tree.map(lambda leaf: leaf.new_empty(leaf.shape[1:]), xs))
    return tree.map(lambda leaf: torch.empty((0, *leaf.shape), dtype=leaf.dtype, device=leaf.device), y)


def _loop(f: Body, init: Tree, xs: Tree, steps: int) -> tuple[Tree, Tree]:
    carry, outputs = init, []
    for step in range(steps):
        carry, y = _step(f, carry, tree.map(lambda leaf: leaf[step], xs))  # noqa: B023 (called at once)
        outputs.append(y)
    return carry, tree.stack(outputs)


def _scan_shapes(f: Body, init: Tree, xs: Tree, steps: int) -> tuple[Tree, Tree]:
    """Results of the right shapes, for `eval_shape`: one iteration shows them all."""
    new, y = _step(f, init, tree.map(lambda leaf: leaf[0], xs))
    ys = tree.map(lambda leaf: leaf.new_empty((steps, *leaf.shape)), y)
    return tree.map(lambda leaf: leaf.new_empty(leaf.shape), new), ys


def _length(xs: Tree, length: int | None) -> int:
    sizes: set[Any] = {leaf.shape[0] if leaf.ndim else None for leaf in tree.leaves(xs)} or {length}
    if len(sizes) > 1 or None in sizes or length not in (None, *sizes):
        found = [f"{path or 'xs'} {tuple(leaf.shape)}" for path, leaf in tree.leaves_with_paths(xs)]
        raise ValueError(
            f"scan: all leaves of xs must have one first dimension, equal to length if that is given; got "
            f"{', '.join(found) or 'no leaves'} and length={length}"
        )
    steps: int = sizes.pop()
    if steps < 0:
        raise ValueError(f"scan: length={steps}; expected 0 or more")
    return steps


def _step(f: Body, carry: Tree, x: Tree) -> tuple[Tree, Tree]:
    leaves, structure = tree.flatten((carry, x))
    result = f(*tree.unflatten(structure, leaves))  # in containers of its own, which it may write into
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
                f"{tuple(leaf.shape)} {leaf.dtype}; shapes and dtypes must stay"
            )
    if _has_namedtuple(y):
        raise ValueError("scan: f returned a NamedTuple as y; return a dict, tuple or list of tensors there")
    return new, y


def _like(carry: Tree, new: Tree) -> Tree:
    """The new carry with the keys of its dicts in the order of the old one's, as f is to see them in each iteration."""
    leaves, structure = tree.flatten(carry)
    found = tree.flatten_as(structure, new)
    if found is None and tree.paths(carry) == tree.paths(new):  # a list for a tuple
        found = tree.leaves(new)
    if found is None:
        raise ValueError(
            f"scan: f must return a carry of the structure it was given; the new one has {tree.difference(carry, new)}"
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
