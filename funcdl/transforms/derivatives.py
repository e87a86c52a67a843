"""Derivatives and batching: documented doors to `torch.func`.

It is given flat lists of leaves: torch walks trees in its own way, which pairs the dicts of two trees by position.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from funcdl import tree
from funcdl.context import in_graph
from funcdl.transforms import first_order
from funcdl.tree import Tree


def grad(f: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable[..., Any]:
    r"""Returns the function that computes the gradient $\nabla f$ of a scalar function.

    Args:
        f: a function that returns a 0-dim tensor, or with `has_aux` a pair of it and a tree of tensors.
        argnums: which positional argument (or arguments) to differentiate; each is a tree of floating-point tensors.
        has_aux: whether `f` returns `(value, aux)`; then the result is `(gradient, aux)`, with `aux` detached.

    Returns:
        A function of the arguments of `f` that returns a tree like `args[argnums]`.

    Raises:
        TypeError: by the function, when a leaf to differentiate, or one of `aux`, is not such a tensor, or when `f`
            uses `torch.utils.checkpoint` below another transform than `jit`.
        ValueError: by the function, when `f` writes into one of its arguments.

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
    def gradient_and_value(*args: Any, **kwargs: Any) -> Any:
        if not in_graph():
            found = first_order.gradient_and_value(f, argnums, has_aux, args, kwargs)
            if found is not None:
                return found
        return _by_torch_func(f, argnums, has_aux, args, kwargs)

    return gradient_and_value


def _by_torch_func(
    f: Callable[..., Any], argnums: int | tuple[int, ...], has_aux: bool, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, Any]:
    positions = (argnums,) if isinstance(argnums, int) else argnums
    if not first_order.are_places(positions, len(args)):
        return torch.func.grad_and_value(f, argnums=argnums, has_aux=has_aux)(*args, **kwargs)  # for its message
    values, structure = tree.flatten((args, kwargs))
    places = tree.unflatten(structure, range(len(values)))
    chosen = tree.leaves([places[0][position] for position in positions])
    first_order.refuse_what_has_no_gradient([values[place] for place in chosen], positions, args)
    taken = set(chosen)
    others = [place for place, leaf in enumerate(values) if isinstance(leaf, Tensor) and place not in taken]
    form: Any = None

    def of_leaves(differentiated: list[Tensor], constant: list[Tensor]) -> Any:
        nonlocal form
        leaves = list(values)
        for place, leaf in zip([*chosen, *others], [*differentiated, *constant], strict=True):
            leaves[place] = leaf
        arguments, keywords = tree.unflatten(structure, leaves)
        result = first_order.call(f, arguments, keywords, [leaf for leaf in leaves if isinstance(leaf, Tensor)])
        if not has_aux or not isinstance(result, tuple) or len(result) != 2:
            return result
        aux, form = tree.flatten(result[1])
        first_order.refuse_other_aux(result[1], aux)
        return result[0], aux

    try:
        grads, found = torch.func.grad_and_value(of_leaves, has_aux=has_aux)(
            [values[place] for place in chosen], [values[place] for place in others]
        )
    except RuntimeError as error:
        if not any(words in str(error) for words in ("saved tensor hooks", "_NoopSaveInputs")):
            raise
        by_autograd = first_order.gradient_and_value(f, argnums, has_aux, args, kwargs)
        if by_autograd is None:
            raise TypeError(
                "grad: f keeps tensors in its own way, as torch.utils.checkpoint does, which torch cannot follow below "
                "another transform; take this gradient outside of vmap, grad and jvp, or do without"
            ) from error
        return by_autograd
    gradient = tree.unflatten(tree.structure([args[position] for position in positions]), grads)
    value = (found[0], tree.unflatten(form, found[1])) if has_aux else found
    return (gradient[0] if isinstance(argnums, int) else tuple(gradient)), value


def vmap(
    f: Callable[..., Any], in_dims: Any = 0, out_dims: Any = 0, chunk_size: int | None = None
) -> Callable[..., Any]:
    """Returns the function that maps `f` over a batch dimension of its arguments, without a loop.

    Args:
        f: a function of trees of tensors.
        in_dims: the dimension of each argument to map over; None for an argument that all members share. One int for
            all arguments, or a tuple with an entry for each: an int, None, or a tree of them, which has the containers
            of the argument, dicts with their keys in any order, down to where one entry serves for all below.
        out_dims: where the new dimension goes in each result, likewise; None for a result that is not mapped.
        chunk_size: how many members to compute at a time; None for all of them at once.

    Raises:
        ValueError: `in_dims` is neither, or by the function: a tree of entries does not fit, leaves differ in the size
            of the mapped dimension, or there is none.

    Source: `torch.func.vmap`; drawing from torch's global generator inside is an error: pass keys.

    >>> members = {"w": torch.tensor([1.0, 2.0, 3.0])}
    >>> vmap(lambda params, x: params["w"] * x, in_dims=(0, None))(members, torch.tensor(10.0))
    tensor([10., 20., 30.])
    """
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(
            f"vmap: in_dims={in_dims!r} is neither an int for all arguments nor a tuple with an entry for each of them"
        )

    @functools.wraps(f)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        bare = all(type(argument) is Tensor for argument in args)  # as most often in a loop: nothing to walk
        leaves, structure = (args, None) if bare else tree.flatten(args)
        form: Any = None
        to: list[int | None] = []

        def of_leaves(*leaves: Any) -> Any:
            nonlocal form, to
            result = f(*(leaves if bare else tree.unflatten(structure, leaves)), **kwargs)
            if type(result) is Tensor and isinstance(out_dims, int):
                return result
            values, form = tree.flatten(result)
            if isinstance(out_dims, int):
                return values
            alone = isinstance(result, Tensor) and isinstance(out_dims, tuple) and len(out_dims) == 1
            to = _dims_of(out_dims[0] if alone else out_dims, result, "out_dims", "")
            pairs = list(zip(values, to, strict=True))
            return [value for value, dim in pairs if dim is not None], [value for value, dim in pairs if dim is None]

        of_leaves.__name__ = getattr(f, "__name__", "f")
        one: Any = out_dims if isinstance(out_dims, int) else (0, None)
        dims = in_dims if isinstance(in_dims, int) else _dims_of_arguments(in_dims, args)
        results = torch.func.vmap(of_leaves, dims, one, randomness="error", chunk_size=chunk_size)(*leaves)
        if not isinstance(out_dims, int):
            of_members, shared = iter(results[0]), iter(results[1])
            results = [next(shared) if dim is None else next(of_members).movedim(0, dim) for dim in to]
        return results if form is None else tree.unflatten(form, results)

    return mapped


def _dims_of_arguments(in_dims: tuple[Any, ...], args: tuple[Any, ...]) -> tuple[int | None, ...]:
    """The dimension of each leaf."""
    if len(in_dims) != len(args):
        raise ValueError(
            f"vmap: in_dims has {len(in_dims)} entries for {len(args)} arguments; give one for each, or one int for all"
        )
    dims: list[int | None] = []
    for index, (entry, argument) in enumerate(zip(in_dims, args, strict=True)):
        dims += _dims_of(entry, argument, f"in_dims[{index}]", "")
    return tuple(dims)


def _dims_of(entry: Any, values: Tree, what: str, path: str) -> list[int | None]:
    """The entry for each leaf of `values`."""
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
    leaves, structure = tree.flatten(x)
    first_order.refuse_what_has_no_gradient(leaves, (0,), (x,))
    directions = tree.flatten_as(structure, vector)
    if directions is None:
        raise ValueError(f"hessian_vector_product: the vector is no tree like x: {tree.difference(x, vector)}")
    if not leaves:
        return x

    def gradient(*leaves: Tensor) -> tuple[Tensor, ...]:
        return tuple(tree.leaves(grad(f)(tree.unflatten(structure, leaves))))

    return tree.unflatten(structure, torch.func.jvp(gradient, tuple(leaves), tuple(directions))[1])
