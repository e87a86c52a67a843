"""Derivatives and batching: thin, documented doors to `torch.func`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from funcdl.transforms import first_order
from funcdl.transforms.tracing import in_graph
from funcdl.tree import Tree


def grad(f: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable[..., Any]:
    r"""Returns the function that computes the gradient $\nabla f$ of a scalar function.

    Args:
        f: a function that returns a 0-dim tensor, or with `has_aux` a pair of it and a tree of tensors.
        argnums: which positional argument (or arguments) to differentiate; each is a tree of floating-point tensors.
        has_aux: whether `f` returns `(value, aux)`; then the result is `(gradient, aux)`, with `aux` detached.

    Returns:
        A function of the arguments of `f` that returns a tree like `args[argnums]`.

    Source: `torch.func.grad`. Where no other transform and no graph is under way plain autograd takes the gradient: the
    same, and sooner. `f` has to be pure: it is called once more where that turns out not to serve, as when it closes
    over a tensor that requires a gradient.

    >>> grad(lambda w: (w**2).sum())(torch.tensor([1.0, 3.0]))
    tensor([2., 6.])
    """
    gradient_and_value = _gradient_and_value(f, argnums, has_aux)

    @functools.wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        found, value = gradient_and_value(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def value_and_grad(
    f: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """As `grad`, and returns the value too: `(value, gradient)`, or with `has_aux` `((value, aux), gradient)`.

    Source: `torch.func.grad_and_value`, which returns the two in the opposite order.

    >>> value_and_grad(lambda w: (w**2).sum())(torch.tensor([1.0, 3.0]))
    (tensor(10.), tensor([2., 6.]))
    """
    gradient_and_value = _gradient_and_value(f, argnums, has_aux)

    @functools.wraps(f)
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        gradient, value = gradient_and_value(*args, **kwargs)
        return value, gradient

    return value_and_gradient


def _gradient_and_value(f: Callable[..., Any], argnums: int | tuple[int, ...], has_aux: bool) -> Callable[..., Any]:
    general = torch.func.grad_and_value(f, argnums=argnums, has_aux=has_aux)

    def gradient_and_value(*args: Any, **kwargs: Any) -> Any:
        if not in_graph():
            found = first_order.gradient_and_value(f, argnums, has_aux, args, kwargs)
            if found is not None:
                return found
        return general(*args, **kwargs)

    return gradient_and_value


def vmap(
    f: Callable[..., Any], in_dims: Any = 0, out_dims: Any = 0, chunk_size: int | None = None
) -> Callable[..., Any]:
    """Returns the function that maps `f` over a batch dimension of its arguments, without a loop.

    Args:
        f: a function of trees of tensors.
        in_dims: the dimension of each argument to map over; None for an argument that all members share. One int for
            all arguments, or a tuple with an entry (or a tree of entries) for each.
        out_dims: where the new dimension goes in each result.
        chunk_size: how many members to compute at a time; None for all of them at once.

    Source: `torch.func.vmap`; drawing from torch's global generator inside is an error: pass keys.

    >>> members = {"w": torch.tensor([1.0, 2.0, 3.0])}
    >>> vmap(lambda params, x: params["w"] * x, in_dims=(0, None))(members, torch.tensor(10.0))
    tensor([10., 20., 30.])
    """
    return torch.func.vmap(f, in_dims=in_dims, out_dims=out_dims, randomness="error", chunk_size=chunk_size)


def per_sample_grad(f: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function that computes the gradient of `f(params, *sample)` for each sample of a batch.

    Args:
        f: a scalar function of a tree of parameters and of one sample (any number of arguments).

    Returns:
        A function of `params` and the batched arguments (samples along dimension 0) that returns a tree like
        `params` whose leaves have the batch as an extra first dimension.

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
        x: where to take the second derivative.
        vector: a tree like `x`.

    Returns:
        A tree like `x`.

    >>> x = torch.tensor([1.0, 2.0])
    >>> hessian_vector_product(lambda x: (x**3).sum(), x, torch.tensor([1.0, 10.0]))
    tensor([  6., 120.])
    """
    return torch.func.jvp(grad(f), (x,), (vector,))[1]
