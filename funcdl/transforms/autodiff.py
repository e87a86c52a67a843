"""Derivatives: `grad` and related functions, by plain autograd where that is possible, otherwise by `torch.func`.

`torch.func` is given flat lists of leaves, because it pairs the entries of two dicts by position, not by key.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

import torch
from torch import Tensor

from funcdl import tree
from funcdl.context import in_graph
from funcdl.transforms.batching import vmap
from funcdl.transforms.engine import plain_autograd
from funcdl.tree import Tree

P = ParamSpec("P")


def grad(f: Callable[P, Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable[P, Any]:
    r"""Returns the function that computes the gradient $\nabla f$ of a scalar function.

    Args:
        f: a function that returns a 0-dim tensor, or with `has_aux` a pair of one and a tree of tensors.
        argnums: the positional argument (or arguments) to differentiate; each is a tree of floating-point tensors.
        has_aux: whether `f` returns `(value, aux)`. The result is then `(gradient, aux)`, with `aux` detached.

    Returns:
        A function of the arguments of `f` that returns a tree like `args[argnums]`.

    Raises (when the returned function is called):
        TypeError: a leaf to differentiate is not a floating-point tensor, a leaf of `aux` is not a tensor, or `f` uses
            `torch.utils.checkpoint` inside a transform other than `jit`.
        ValueError: `f` writes into one of its arguments.

    Source: `torch.func.grad`. Outside of other transforms and of graphs, plain autograd computes the same gradient
    faster. `f` has to be pure, because it is called a second time where plain autograd turns out to be insufficient,
    for example because `f` closes over a tensor that requires a gradient.

    >>> grad(lambda w: (w**2).sum())(torch.tensor([1.0, 3.0]))
    tensor([2., 6.])
    """
    gradient_and_value = _gradient_and_value(f, argnums, has_aux)

    @functools.wraps(f)
    def gradient(*args: P.args, **kwargs: P.kwargs) -> Any:
        found, value = gradient_and_value(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def value_and_grad(
    f: Callable[P, Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[P, tuple[Any, Any]]:
    """Like `grad`, but returns `(value, gradient)`, or with `has_aux` `((value, aux), gradient)`.

    Source: `torch.func.grad_and_value`, which returns the pair in the opposite order.

    >>> value_and_grad(lambda w: (w**2).sum())(torch.tensor([1.0, 3.0]))
    (tensor(10.), tensor([2., 6.]))
    """
    gradient_and_value = _gradient_and_value(f, argnums, has_aux)

    @functools.wraps(f)
    def value_and_gradient(*args: P.args, **kwargs: P.kwargs) -> tuple[Any, Any]:
        gradient, value = gradient_and_value(*args, **kwargs)
        return value, gradient

    return value_and_gradient


def _gradient_and_value(f: Callable[..., Any], argnums: int | tuple[int, ...], has_aux: bool) -> Callable[..., Any]:
    def gradient_and_value(*args: Any, **kwargs: Any) -> Any:
        if not in_graph():
            found = plain_autograd.gradient_and_value(f, argnums, has_aux, args, kwargs)
            if found is not None:
                return found
        return _by_torch_func(f, argnums, has_aux, args, kwargs)

    return gradient_and_value


def _by_torch_func(
    f: Callable[..., Any], argnums: int | tuple[int, ...], has_aux: bool, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, Any]:
    positions = (argnums,) if isinstance(argnums, int) else argnums
    if not plain_autograd.are_valid_argnums(positions, len(args)):
        return torch.func.grad_and_value(f, argnums=argnums, has_aux=has_aux)(*args, **kwargs)  # raises
    values, structure = tree.flatten((args, kwargs))
    leaf_indices = tree.unflatten(structure, range(len(values)))
    chosen = tree.leaves([leaf_indices[0][position] for position in positions])
    plain_autograd.check_differentiable([values[place] for place in chosen], positions, args)
    taken = set(chosen)
    others = [place for place, leaf in enumerate(values) if isinstance(leaf, Tensor) and place not in taken]
    aux_structure: Any = None

    def of_leaves(differentiated: list[Tensor], constant: list[Tensor]) -> Any:
        nonlocal aux_structure
        leaves = list(values)
        for place, leaf in zip([*chosen, *others], [*differentiated, *constant], strict=True):
            leaves[place] = leaf
        arguments, keywords = tree.unflatten(structure, leaves)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        result = plain_autograd.call_without_writes(f, arguments, keywords, tensors)
        if not has_aux or not isinstance(result, tuple) or len(result) != 2:
            return result
        aux, aux_structure = tree.flatten(result[1])
        plain_autograd.check_aux(result[1], aux)
        return result[0], aux

    try:
        grads, found = torch.func.grad_and_value(of_leaves, has_aux=has_aux)(
            [values[place] for place in chosen], [values[place] for place in others]
        )
    except RuntimeError as error:
        if not any(words in str(error) for words in ("saved tensor hooks", "_NoopSaveInputs")):
            raise
        by_autograd = plain_autograd.gradient_and_value(f, argnums, has_aux, args, kwargs)
        if by_autograd is None:
            raise TypeError(
                "grad: f uses saved-tensor hooks, as torch.utils.checkpoint does, which torch.func does not support; "
                "take this gradient outside of vmap, grad and jvp, or remove the hooks"
            ) from error
        return by_autograd
    gradient = tree.unflatten(tree.structure([args[position] for position in positions]), grads)
    value = (found[0], tree.unflatten(aux_structure, found[1])) if has_aux else found
    return (gradient[0] if isinstance(argnums, int) else tuple(gradient)), value


def per_sample_grad(f: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function that computes the gradient of `f(params, *sample)` for each sample of a batch.

    Args:
        f: a scalar function of a tree of parameters and one sample, which may be several arguments.

    Returns:
        A function of `params` and the batch (the same arguments with samples along dimension 0). It returns a tree like
        `params` whose leaves have the batch as an additional first dimension.

    >>> loss = lambda params, x, y: (params["w"] * x - y) ** 2
    >>> x, y = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 6.0])
    >>> per_sample_grad(loss)({"w": torch.tensor(1.0)}, x, y)
    {'w': tensor([ -2.,  -8., -18.])}
    """

    def gradients(params: Tree, *batch: Tree) -> Tree:
        return vmap(grad(f), in_dims=(None, *[0] * len(batch)))(params, *batch)

    return gradients


def hessian_vector_product(f: Callable[..., Any], x: Tree, vector: Tree) -> Tree:
    r"""Computes $\nabla^2 f(x) \cdot v$ by forward-mode differentiation of the gradient.

    Args:
        f: a scalar function of one tree.
        x: the point at which to take the second derivative.
        vector: $v$, a tree like `x`.

    Returns:
        A tree like `x`.

    Raises:
        ValueError: `vector` does not have the structure of `x`.

    >>> x = torch.tensor([1.0, 2.0])
    >>> hessian_vector_product(lambda x: (x**3).sum(), x, torch.tensor([1.0, 10.0]))
    tensor([  6., 120.])
    """
    leaves, structure = tree.flatten(x)
    plain_autograd.check_differentiable(leaves, (0,), (x,))
    directions = tree.flatten_as(structure, vector)
    if directions is None:
        raise ValueError(f"hessian_vector_product: the vector is not a tree like x: {tree.difference(x, vector)}")
    if not leaves:
        return x

    def gradient(*leaves: Tensor) -> tuple[Tensor, ...]:
        return tuple(tree.leaves(grad(f)(tree.unflatten(structure, leaves))))

    return tree.unflatten(structure, torch.func.jvp(gradient, tuple(leaves), tuple(directions))[1])
