"""Conversion between trees of parameters and buffers and the flat `state_dict()` of an `nn.Module`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from funcdl import tree
from funcdl.context import values_are_known
from funcdl.tree import Tree


def to_state_dict(params: Tree, buffers: Tree | None = None) -> dict[str, Tensor]:
    """Returns parameters and buffers as one flat dict of dotted names, for `nn.Module.load_state_dict`.

    The tensors are the same, not copies.

    Raises:
        ValueError: a name occurs twice: in parameters and buffers, or because a key contains a dot.

    >>> import torch
    >>> from funcdl import nn, random
    >>> params, buffers = nn.serial(nn.linear(2)).init(random.key(0), torch.zeros(1, 3))
    >>> twin = torch.nn.Sequential(torch.nn.Linear(3, 2, device="meta"))
    >>> twin.load_state_dict(to_state_dict(params, buffers), assign=True)
    <All keys matched successfully>
    """
    named_params, named_buffers = _named("params", params), _named("buffers", buffers)
    if both := named_params.keys() & named_buffers.keys():
        raise ValueError(
            f"to_state_dict: expected each name once, got {', '.join(sorted(both))} in params and in buffers"
        )
    return named_params | named_buffers


def from_state_dict(state_dict: Mapping[str, Tensor], params: Tree, buffers: Tree | None = None) -> tuple[Tree, Tree]:
    """Returns parameters and buffers with the values of a `state_dict()`.

    Args:
        state_dict: a flat dict with dotted names.
        params: a tree with the structure of the result, such as the one from `init`. Its values are not used.
        buffers: the same for the buffers.

    Returns:
        `(params, buffers)`, trees like those given, with detached copies of the values. Each has the dtype and device
        of the leaf that it replaces.

    Raises:
        ValueError: a name is missing or unexpected, a shape differs, or a value does not fit the dtype of its leaf,
            such as a complex number for a real leaf, an integer for a weight, or NaN. The message lists all problems.

    >>> from funcdl import nn, random
    >>> params, buffers = nn.serial(nn.linear(2)).init(random.key(0), torch.zeros(1, 3))
    >>> saved = {"0.weight": torch.ones(2, 3), "0.bias": torch.zeros(2)}  # torch.load("twin.pt"), say
    >>> params, buffers = from_state_dict(saved, params, buffers)
    >>> params["0"]["weight"]
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """
    buffers = {} if buffers is None else buffers
    expected = to_state_dict(params, buffers)
    problems = [f"missing {name}" for name in expected if name not in state_dict]
    problems += [f"unexpected {name}" for name in state_dict if name not in expected]
    problems += [
        f"{name} of shape {tuple(value.shape)} instead of {tuple(expected[name].shape)}"
        for name, value in state_dict.items()
        if name in expected and isinstance(value, Tensor) and value.shape != expected[name].shape
    ]
    if not problems:
        problems = [
            f"{name} {wrong}" for name, leaf in expected.items() if (wrong := _misfit(state_dict[name], leaf.dtype))
        ]
    if problems:
        raise ValueError(
            f"from_state_dict: expected the names, shapes and kinds of numbers of params and buffers, got: "
            f"{'; '.join(problems)}"
        )

    def value_of(path: str, leaf: Tensor) -> Any:
        return state_dict[path].detach().to(leaf.device, leaf.dtype, copy=True)

    return tree.map_with_path(value_of, params), tree.map_with_path(value_of, buffers)


def _misfit(value: Any, dtype: torch.dtype) -> str | None:
    """Describes why `value` does not fit a leaf of that dtype; None if it fits."""
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__} instead of a tensor"
    if _kind(value.dtype) != _kind(dtype) and not (dtype.is_complex and value.is_floating_point()):
        return f"of {value.dtype} instead of {dtype}"
    if not values_are_known(value):
        return None
    if value.isnan().any():
        return "with NaN"
    return f"with numbers out of the range of {dtype}" if _are_out_of_range(value, dtype) else None


def _are_out_of_range(value: Tensor, dtype: torch.dtype) -> bool:
    if _kind(dtype) == "bool" or value.dtype == dtype:
        return False
    if _kind(dtype) == "integer":
        return bool((value.to(dtype).double() != value.double()).any())
    if torch.finfo(dtype).max >= torch.finfo(value.dtype).max:
        return False
    numbers = torch.view_as_real(value.to(torch.complex128)) if value.is_complex() else value.double()
    return bool((numbers.isfinite() & (numbers.abs() > torch.finfo(dtype).max)).any())


def _kind(dtype: torch.dtype) -> str:
    if dtype.is_complex or dtype == torch.bool:
        return "complex" if dtype.is_complex else "bool"
    return "floating" if dtype.is_floating_point else "integer"


def _named(what: str, values: Tree) -> dict[str, Tensor]:
    pairs = tree.leaves_with_paths(values)
    named = dict(pairs)
    if len(named) < len(pairs):
        paths = [path for path, _ in pairs]
        twice = sorted({path for path in paths if paths.count(path) > 1})
        raise ValueError(
            f"to_state_dict: expected each name once, got {', '.join(twice)} twice in {what}; rename a key"
        )
    return named
