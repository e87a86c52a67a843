"""A gradient that nothing differentiates again, by plain autograd.

`torch.func.grad` records the backward pass for a second derivative, for which torch writes fused gradients out in small
steps, and it stands between each operation and its kernel. Where no other transform is under way plain autograd takes
the same gradient in a half to all of the time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from funcdl import tree

_UNDER_WAY: ContextVar[bool] = ContextVar("a gradient by plain autograd is under way", default=False)


def is_under_way() -> bool:
    """Whether the code that asks is differentiated by `gradient_and_value`."""
    return _UNDER_WAY.get()


def gradient_and_value(
    f: Callable[..., Any], argnums: int | tuple[int, ...], has_aux: bool, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, Any] | None:
    """Returns what `torch.func.grad_and_value` would, or None where it has to be asked.

    That is below another transform and in a graph, where something outside records what becomes of an argument or of a
    tensor that `f` closes over, and where there is an error to be told.
    """
    if _others_differentiate(args, kwargs):
        return None
    positions = (argnums,) if isinstance(argnums, int) else argnums
    if not all(-len(args) <= position < len(args) for position in positions):
        return None
    leaves, structure = tree.flatten([args[position] for position in positions])
    if not leaves or not all(_is_differentiable(leaf) for leaf in leaves):
        return None
    outside = torch.is_grad_enabled()
    with torch.enable_grad(), _under_way():
        inputs = [leaf.detach().requires_grad_() for leaf in leaves]
        arguments = list(args)
        for position, part in zip(positions, tree.unflatten(structure, inputs), strict=True):
            arguments[position] = part
        result = f(*arguments, **kwargs)
        results, form = tree.flatten(result)
        if not _fits(result, has_aux, results) or (outside and _records_others(results, inputs)):
            return None
        grads = _gradients(results[0], inputs)
    gradient = tree.unflatten(structure, grads)
    detached = tree.unflatten(form, [leaf.detach() if leaf.requires_grad else leaf for leaf in results])
    return (gradient[0] if isinstance(argnums, int) else tuple(gradient)), detached


def _gradients(value: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(value, inputs, allow_unused=True) if value.requires_grad else (None,) * len(inputs)
    return [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(inputs, found, strict=True)]


def _fits(result: Any, has_aux: bool, results: list[Any]) -> bool:
    """Whether `result`, with the leaves `results`, is a 0-dim tensor, or with `has_aux` a pair of one and a tree."""
    if has_aux and not (isinstance(result, tuple) and len(result) == 2):
        return False
    value = result[0] if has_aux else result
    return isinstance(value, Tensor) and value.ndim == 0 and all(isinstance(leaf, Tensor) for leaf in results)


@contextlib.contextmanager
def _under_way() -> Iterator[None]:
    token = _UNDER_WAY.set(True)
    try:
        yield
    finally:
        _UNDER_WAY.reset(token)


def _others_differentiate(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    other = torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
    if other or torch.is_inference_mode_enabled():
        return True
    leaves = tree.leaves((args, kwargs)) if torch.is_grad_enabled() else []
    return any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in leaves)


def _is_differentiable(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and (leaf.is_floating_point() or leaf.is_complex()) and not leaf.is_inference()


def _records_others(results: list[Tensor], inputs: list[Tensor]) -> bool:
    """Whether a result depends on a recorded tensor that is none of the inputs, as one that `f` closes over."""
    own = {id(leaf) for leaf in inputs}
    if any(result.is_leaf and result.requires_grad and id(result) not in own for result in results):
        return True
    nodes = [result.grad_fn for result in results if result.grad_fn is not None]
    seen = set(nodes)
    while nodes:
        node = nodes.pop()
        variable = getattr(node, "variable", None)  # of the node that stands for a leaf
        if variable is not None and id(variable) not in own:
            return True
        new = {following for following, _ in node.next_functions if following is not None} - seen
        seen |= new
        nodes += new
    return False
