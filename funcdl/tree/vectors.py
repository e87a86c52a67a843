"""Trees as vectors (`ravel`, `global_norm`, ...), and stacking trees."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from funcdl.context import is_transformed
from funcdl.tree.containers import Tree, flatten, leaves, rebuild, unflatten
from funcdl.tree.mapping import map


def ravel(tree: Tree) -> tuple[Tensor, Callable[[Tensor], Tree]]:
    """Concatenates all leaves into one vector, and returns it with the function that does the inverse.

    The vector has the dtype that the leaves promote to; the inverse returns each leaf in its original dtype.

    >>> vector, unravel = ravel({"w": torch.ones(2, 2), "b": torch.zeros(1)})
    >>> vector
    tensor([0., 1., 1., 1., 1.])
    >>> unravel(2 * vector)["w"].shape
    torch.Size([2, 2])
    """
    values, shape = flatten(tree)
    skeleton = unflatten(shape, range(len(values)))  # unlike `shape`, Dynamo can trace it
    forms = [(leaf.numel(), leaf.shape, leaf.dtype) for leaf in values]

    def unravel(vector: Tensor) -> Tree:
        pieces = vector.split([size for size, _, _ in forms])
        return rebuild(skeleton, [p.view(form).to(dtype) for p, (_, form, dtype) in zip(pieces, forms, strict=True)])

    return torch.cat([leaf.reshape(-1) for leaf in values]) if values else torch.zeros(0), unravel


def stack(trees: list[Tree]) -> Tree:
    """Stacks trees of the same structure along a new first dimension of their leaves, for example for `vmap`.

    >>> stack([{"w": torch.zeros(3)}, {"w": torch.ones(3)}])["w"].shape
    torch.Size([2, 3])
    """
    return map(lambda *leaves: torch.stack(leaves), *trees)


def unstack(tree: Tree) -> list[Tree]:
    """Returns a list of trees, one for each index of the leaves' first dimension: the inverse of `stack`."""
    values, shape = flatten(tree)
    return [unflatten(shape, list(member)) for member in zip(*(v.unbind() for v in values), strict=True)]


def size(tree: Tree) -> int:
    """Returns the number of elements in all leaves together.

    >>> size({"weight": torch.zeros(3, 2), "bias": torch.zeros(3)})
    9
    """
    return sum(leaf.numel() for leaf in leaves(tree))


def zeros_like(tree: Tree) -> Tree:
    """Returns a tree of zeros with the shapes, dtypes and devices of `tree`."""
    return map(torch.zeros_like, tree)


def global_norm(tree: Tree) -> Tensor:
    """Returns the Euclidean norm of all leaves together, as a 0-dim tensor.

    It is computed as the norm of the norms of the leaves, as in `torch.nn.utils.get_total_norm`, so that squares do not
    overflow. Its derivatives are those of the norm of one vector, or 0 where all leaves are zero.

    >>> global_norm({"a": torch.tensor([3.0]), "b": torch.tensor([[4.0]])})
    tensor(5.)
    """
    values = leaves(tree)
    if not values:
        return torch.zeros(())
    if not _is_differentiated(values):
        return _norm_of_norms(values)
    norm = _norm_of_norms([leaf.detach() for leaf in values])
    # Not the norm of norms: its second derivative would lack the contribution of leaves that are zero.
    unit = torch.where((norm > 0) & norm.isfinite(), norm, 1)
    total = torch.stack([_square(leaf / unit.to(leaf.dtype)).sum() for leaf in values]).sum()
    zero = total == 0
    return unit * torch.where(zero, 0, torch.where(zero, 1, total).sqrt())


def _norm_of_norms(values: list[Tensor]) -> Tensor:
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(leaf) for leaf in values]))


def _is_differentiated(values: list[Tensor]) -> bool:
    return is_transformed() or (torch.is_grad_enabled() and any(leaf.requires_grad for leaf in values))


def _square(leaf: Tensor) -> Tensor:
    return leaf.real.square() + leaf.imag.square() if leaf.is_complex() else leaf.square()
