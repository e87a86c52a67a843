"""The gradient of a function by plain autograd, where nothing differentiates that gradient again.

`torch.func.grad` records the backward pass for a second derivative, for which torch decomposes fused backward kernels
into small operations, and it adds overhead to each operation. Where no other transform is active, plain autograd
computes the same gradient up to twice as fast.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from funcdl import _torch, tree
from funcdl.context import is_transformed, plain_gradient


def gradient_and_value(
    f: Callable[..., Any], argnums: int | tuple[int, ...], has_aux: bool, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, Any] | None:
    """Returns the result of `torch.func.grad_and_value`, or None where only `torch.func` can compute it.

    `torch.func` is needed inside another transform, and where plain autograd outside records an argument or a tensor
    that `f` closes over. (What only a hook closes over cannot be detected.) None is also returned for invalid arguments
    and results, so that `torch.func` raises its own error.
    """
    positions = (argnums,) if isinstance(argnums, int) else argnums
    values, structure_of_all = tree.flatten((args, kwargs))
    everything = [leaf for leaf in values if isinstance(leaf, Tensor)]
    if _needs_torch_func(everything) or not are_valid_argnums(positions, len(args)):
        return None
    leaves, structure = tree.flatten([args[position] for position in positions])
    check_differentiable(leaves, positions, args)
    if not leaves:
        return None
    outside = torch.is_grad_enabled()
    plain = [leaf for leaf in everything if not leaf.requires_grad]
    with torch.enable_grad(), plain_gradient(), _without_cached_casts():
        inputs = [leaf.detach().requires_grad_() for leaf in leaves]
        # Rebuilt as in `jit`, so that `f` cannot change the caller's dicts and lists.
        others, keywords = tree.unflatten(structure_of_all, values)
        arguments = list(others)
        for position, part in zip(positions, tree.unflatten(structure, inputs), strict=True):
            arguments[position] = part
        try:
            result = call_without_writes(f, arguments, keywords, everything)
        except RuntimeError as error:
            if "Inference tensors" in str(error):  # `f` closes over one; `torch.func` can read it
                return None
            raise
        finally:
            for leaf in plain:
                if leaf.requires_grad:  # because `f` wrote into it
                    leaf.detach_()
        results, result_structure = tree.flatten(result)
        if has_aux and type(result) is tuple and len(result) == 2 and isinstance(result[0], Tensor):
            check_aux(result[1], results[1:])
        if not _is_valid_result(result, has_aux, results) or not all(leaf.requires_grad for leaf in inputs):
            return None
        if outside and _depends_on_others(results, inputs):
            return None
        grads = _gradients(results[0], inputs)
    gradient = tree.unflatten(structure, grads)
    detached = tree.unflatten(result_structure, [leaf.detach() if leaf.requires_grad else leaf for leaf in results])
    return (gradient[0] if isinstance(argnums, int) else tuple(gradient)), detached


def call_without_writes(f: Callable[..., Any], args: Any, kwargs: dict[str, Any], tensors: list[Tensor]) -> Any:
    """Returns `f(*args, **kwargs)`, or raises a ValueError if `f` writes into one of its arguments.

    `tensors` are the leaves of the arguments, or tensors that share their version counters.
    """
    if torch.compiler.is_dynamo_compiling() or torch.is_inference_mode_enabled():  # there are no version counters
        return f(*args, **kwargs)
    before = _torch.versions(tensors)
    try:
        result = f(*args, **kwargs)
    except RuntimeError as error:
        if "leaf Variable that requires grad" in str(error) or "would mutate a captured Tensor" in str(error):
            raise _write_error("a tensor that it did not create") from error
        raise
    for number, (version, now) in enumerate(zip(before, _torch.versions(tensors), strict=True)):
        if version != now:
            paths = [path for path, value in tree.leaves_with_paths((args, kwargs)) if isinstance(value, Tensor)]
            raise _write_error(f"its argument '{paths[number].partition('.')[2]}'")
    return result


def _write_error(what: str) -> ValueError:
    return ValueError(
        f"grad: f writes into {what}, but grad needs a pure function; write into a clone, and return the clone as aux "
        "if you need it"
    )


def check_differentiable(leaves: list[Any], positions: tuple[int, ...], args: Sequence[Any]) -> None:
    """Raises a TypeError if one of the `leaves` of these arguments is not a floating-point or complex tensor."""
    if all(_is_differentiable(leaf) for leaf in leaves):
        return
    named = [(position, *pair) for position in positions for pair in tree.leaves_with_paths(args[position])]
    position, path, leaf = next(name for name in named if not _is_differentiable(name[2]))
    where = f"'{path}' of argument {position}" if path else f"argument {position}"
    what = f"a tensor of dtype {leaf.dtype}" if isinstance(leaf, Tensor) else f"{leaf!r} of type {type(leaf).__name__}"
    raise TypeError(
        f"grad: {where} is {what}, expected a floating-point tensor; remove it with tree.partition(), or choose other "
        "arguments with argnums"
    )


def check_aux(aux: Any, leaves: list[Any]) -> None:
    """Raises a TypeError if one of the leaves of `aux` is not a tensor."""
    if all(isinstance(leaf, Tensor) for leaf in leaves):
        return
    path, leaf = next((path, leaf) for path, leaf in tree.leaves_with_paths(aux) if not isinstance(leaf, Tensor))
    where = f"'{path}' of aux" if path else "aux"
    raise TypeError(
        f"grad: {where} is {leaf!r} of type {type(leaf).__name__}, expected a tensor; wrap it in torch.tensor(...)"
    )


def _gradients(value: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(value, inputs, allow_unused=True) if value.requires_grad else (None,) * len(inputs)
    return [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(inputs, found, strict=True)]


def _is_valid_result(result: Any, has_aux: bool, results: list[Any]) -> bool:
    """Whether `result`, whose leaves are `results`, is a 0-dim tensor, or with `has_aux` a pair of one and a tree."""
    if has_aux and not (type(result) is tuple and len(result) == 2):
        return False
    value = result[0] if has_aux else result
    return isinstance(value, Tensor) and value.ndim == 0 and all(isinstance(leaf, Tensor) for leaf in results)


@contextlib.contextmanager
def _without_cached_casts() -> Iterator[None]:
    """Turns off autocast's cache of converted leaves.

    The cache would keep a copy of each leaf until autocast ends, and gradients would be accumulated in low precision.
    """
    enabled = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(enabled)


def _needs_torch_func(leaves: list[Tensor]) -> bool:
    if is_transformed() or torch.is_inference_mode_enabled() or any(leaf.is_inference() for leaf in leaves):
        return True
    return torch.is_grad_enabled() and any(leaf.requires_grad for leaf in leaves)


def are_valid_argnums(positions: Any, count: int) -> bool:
    """Whether `positions` is a tuple of distinct positions among `count` arguments."""
    if not isinstance(positions, tuple) or not all(-count <= position < count for position in positions):
        return False
    return len({position % count for position in positions}) == len(positions)


def _is_differentiable(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and (leaf.is_floating_point() or leaf.is_complex())


def _depends_on_others(results: list[Tensor], inputs: list[Tensor]) -> bool:
    """Whether a result depends on a recorded tensor that is not an input, such as one that `f` closes over."""
    input_ids = {id(leaf) for leaf in inputs}
    if any(result.is_leaf and result.requires_grad and id(result) not in input_ids for result in results):
        return True
    nodes = [result.grad_fn for result in results if result.grad_fn is not None]
    seen = set(nodes)
    while nodes:
        node: Any = nodes.pop()
        if node.name() == "torch::autograd::AccumulateGrad" and id(node.variable) not in input_ids:
            return True
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                nodes.append(following)
    return False
