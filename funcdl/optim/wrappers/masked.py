"""Transformations of the parameters that a mask selects, and frozen parameters."""

from __future__ import annotations

from typing import Any

from funcdl import tree
from funcdl.optim.hyperparameters import Count
from funcdl.optim.masks import Mask, mask_leaves, resolve_mask
from funcdl.optim.transformation import Transformation, check_is_transformation, inner_update, with_cast_updates
from funcdl.optim.update_rule import Hyper, stateless
from funcdl.optim.validation import match_gradients
from funcdl.tree import Tree


def masked(transformation: Transformation, mask: Mask) -> Transformation:
    """Applies a transformation to the parameters that a mask selects; the updates of the others do not change.

    Args:
        transformation: the transformation. Its state is the one for a tree of only the selected parameters.
        mask: one or more patterns, each the path of a leaf or a subtree, with the wildcards `*`, `?` and `[...]` as in
            file names; a predicate `(path, leaf) -> bool`; or a tree of bools with the structure of the parameters.

    Raises:
        ValueError: raised by `init` and `update` if the mask matches no parameter.

    >>> import torch
    >>> from funcdl import optim
    >>> params = {"weight": torch.ones(2, 2), "bias": torch.ones(2)}
    >>> decay = optim.masked(optim.add_decayed_weights(0.5), lambda path, leaf: leaf.ndim > 1)
    >>> decay.update(tree.zeros_like(params), decay.init(params), params)[0]["bias"]
    tensor([0., 0.])

    Equals `optax.masked`.
    """
    check_is_transformation("masked", transformation, "the transformation")
    return _masked("masked", transformation, mask)


def freeze(mask: Mask) -> Transformation:
    """Sets the updates of the parameters that a mask selects to zero, so that these parameters never change.

    It has to come last in a chain, after any weight decay. The optimizer before it still keeps averages of the
    gradients of frozen parameters; `partition({"train": adam(), "frozen": freeze("*")}, ...)` does not.

    Args:
        mask: as in `masked`.

    Raises:
        ValueError: raised by `init` and `update` if the mask matches no parameter.

    >>> import torch
    >>> from funcdl import optim
    >>> params = {"body": torch.ones(1), "head": torch.ones(1)}
    >>> optimizer = optim.chain(optim.sgd(lr=1.0), optim.freeze("body"))
    >>> optimizer.update(params, optimizer.init(params), params)[0]
    {'body': tensor([0.]), 'head': tensor([-1.])}

    Equals `optax.freeze`.
    """

    def update(grads: Tree, params: Tree, hyper: Hyper, count: Count) -> Tree:
        return tree.zeros_like(grads)

    return _masked("freeze", stateless("freeze", {}, update, as_real=False), mask)


def _masked(owner: str, transformation: Transformation, mask: Mask) -> Transformation:
    choose = resolve_mask(owner, mask)

    def init(params: Tree) -> Tree:
        return transformation.init(mask_leaves(params, choose(params)))

    def update(grads: Tree, state: Tree, params: Tree = None, **extra: Any) -> tuple[Tree, Tree]:
        grads, _ = match_gradients(owner, grads, params)
        chosen = choose(params)
        g, p = mask_leaves(grads, chosen), mask_leaves(params, chosen)
        chosen_updates, state = inner_update(f"{owner}: its update", transformation, g, state, p, extra)
        updates = iter(tree.leaves(chosen_updates))
        leaves, structure = tree.flatten(grads)
        return tree.unflatten(
            structure, [next(updates) if c else leaf for leaf, c in zip(leaves, chosen, strict=True)]
        ), state

    return with_cast_updates(init, update)
