"""Batching: `vmap` maps a function over a dimension of its arguments without a loop, by `torch.func`.

`torch.func` is given flat lists of leaves, because it pairs the entries of two dicts by position, not by key.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from funcdl import tree
from funcdl.tree import Tree

P = ParamSpec("P")
R = TypeVar("R")


def vmap(f: Callable[P, R], in_dims: Any = 0, out_dims: Any = 0, chunk_size: int | None = None) -> Callable[P, R]:
    """Returns the function that maps `f` over a batch dimension of its arguments, without a loop.

    Args:
        f: a function of trees of tensors.
        in_dims: the dimension of each argument to map over: one int for all arguments, or a tuple with an entry for
            each argument. An entry is an int, None for an argument that all members of the batch share, or a tree of
            those that has the containers of the argument; an int or None in it applies to the whole part of the
            argument below it.
        out_dims: the position of the batch dimension in each result, in the same form; None for a result that does not
            depend on the member.
        chunk_size: how many members to compute at a time; None computes all at once.

    Raises:
        ValueError: `in_dims` is neither an int nor a tuple. When the function is called: a tree in `in_dims` does not
            match its argument, the sizes of the mapped dimension differ, or nothing is mapped.

    Source: `torch.func.vmap`. Drawing from torch's global generator inside is an error; pass keys instead.

    >>> members = {"w": torch.tensor([1.0, 2.0, 3.0])}
    >>> vmap(lambda params, x: params["w"] * x, in_dims=(0, None))(members, torch.tensor(10.0))
    tensor([10., 20., 30.])
    """
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(
            f"vmap: in_dims={in_dims!r}: expected an int for all arguments, or a tuple with an entry for each of them"
        )

    @functools.wraps(f)
    def mapped(*args: P.args, **kwargs: P.kwargs) -> R:
        bare = all(type(argument) is Tensor for argument in args)  # a fast path, common inside loops
        leaves, structure = (args, None) if bare else tree.flatten(args)
        result_structure: Any = None
        result_dims: list[int | None] = []

        def of_leaves(*leaves: Any) -> Any:
            nonlocal result_structure, result_dims
            result = f(*(leaves if bare else tree.unflatten(structure, leaves)), **kwargs)
            if type(result) is Tensor and isinstance(out_dims, int):
                return result
            values, result_structure = tree.flatten(result)
            if isinstance(out_dims, int):
                return values
            alone = isinstance(result, Tensor) and isinstance(out_dims, tuple) and len(out_dims) == 1
            result_dims = _dims_of(out_dims[0] if alone else out_dims, result, "out_dims", "")
            pairs = list(zip(values, result_dims, strict=True))
            return [value for value, dim in pairs if dim is not None], [value for value, dim in pairs if dim is None]

        of_leaves.__name__ = getattr(f, "__name__", "f")
        one: Any = out_dims if isinstance(out_dims, int) else (0, None)
        dims = in_dims if isinstance(in_dims, int) else _dims_of_arguments(in_dims, args)
        results = torch.func.vmap(of_leaves, dims, one, randomness="error", chunk_size=chunk_size)(*leaves)
        if not isinstance(out_dims, int):
            of_members, shared = iter(results[0]), iter(results[1])
            results = [next(shared) if dim is None else next(of_members).movedim(0, dim) for dim in result_dims]
        return results if result_structure is None else tree.unflatten(result_structure, results)

    return mapped


def _dims_of_arguments(in_dims: tuple[Any, ...], args: tuple[Any, ...]) -> tuple[int | None, ...]:
    """Returns the entry of `in_dims` for each leaf of the arguments."""
    if len(in_dims) != len(args):
        raise ValueError(
            f"vmap: in_dims has {len(in_dims)} entries for {len(args)} arguments; give one for each, or one int for all"
        )
    dims: list[int | None] = []
    for index, (entry, argument) in enumerate(zip(in_dims, args, strict=True)):
        dims += _dims_of(entry, argument, f"in_dims[{index}]", "")
    return tuple(dims)


def _dims_of(entry: Any, values: Tree, what: str, path: str) -> list[int | None]:
    """Returns the dimension for each leaf of `values`, whose entry in `in_dims` or `out_dims` is `entry`."""
    if entry is None or isinstance(entry, int):
        return [entry] * len(tree.leaves(values))
    entries, parts = tree.children(entry), tree.children(values)
    by_key = dict(entries or ())
    alike = type(entry) is type(values) or (isinstance(entry, dict) and isinstance(values, dict))
    if not alike or parts is None or len(by_key) != len(parts) or any(key not in by_key for key, _ in parts):
        where = f" at '{path}'" if path else ""
        found = repr(entry) if entries is None else _kind(entry)
        expected = "an int or None" if parts is None else f"an int, None, or {_kind(values)}"
        raise ValueError(f"vmap: {what}{where} is {found}, expected {expected}")
    return [
        dim for key, part in parts for dim in _dims_of(by_key[key], part, what, f"{path}.{key}" if path else str(key))
    ]


def _kind(part: Tree) -> str:
    keys = ", ".join(str(key) for key, _ in tree.children(part) or ())
    return f"a {type(part).__name__} of {keys or 'nothing'}"
