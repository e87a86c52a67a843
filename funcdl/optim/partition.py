"""Transformations of some of the parameters: a transformation for each group, a mask, parameters that stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Scalar
from funcdl.optim.selection import Labels, Mask, chooser, keep, labeller
from funcdl.optim.transformation import (
    Transformation,
    check_is_transformation,
    matched,
    part,
    transforming,
    wide_update,
)
from funcdl.tree import Tree


def partition(transformations: Mapping[str, Transformation], labels: Labels) -> Transformation:
    """Gives each group of parameters a transformation of its own: another learning rate, or another optimizer.

    Args:
        transformations: `{label: transformation}`, the labels being names without dots.
        labels: which parameter belongs to which: `{pattern: label}`, of which the first that fits counts, a pattern
            being the path of a leaf or a subtree, with `*`, `?` and `[...]` as in file names; a function
            `(path, leaf) -> label`; or a tree of labels with the structure of the parameters.

    Returns:
        A transformation whose state is the dict of theirs, so that their numbers are addressed as `head.1.lr`. Each
        sees only its own group: a norm over all leaves is one over the group.

    Raises:
        ValueError: a parameter has no label with a transformation, or a label or pattern fits no parameter.

    >>> import torch
    >>> from funcdl import optim
    >>> groups = {"head": optim.sgd(lr=1.0), "rest": optim.sgd(lr=0.1)}
    >>> optimizer = optim.partition(groups, {"head": "head", "*": "rest"})
    >>> params = {"body": {"w": torch.ones(1)}, "head": {"w": torch.ones(1), "b": torch.zeros(1)}}
    >>> state = optimizer.init(params)
    >>> optimizer.update(params, state, params)[0]
    {'body': {'w': tensor([-0.1000])}, 'head': {'w': tensor([-1.]), 'b': tensor([-0.])}}
    >>> [path for path in optim.get_hyperparameters(state) if path.endswith("lr")]
    ['head.1.lr', 'rest.1.lr']

    Equals `optax.partition`, and the parameter groups of `torch.optim`.
    """
    for label in transformations:
        if not isinstance(label, str) or not label or "." in label:
            raise ValueError(f"partition: the label {label!r} is no name without dots; it begins the path of a number")
        check_is_transformation("partition", transformations[label], f"what stands at {label!r}")
    assign = labeller("partition", labels, list(transformations))

    def init(params: Tree) -> dict[str, Tree]:
        assigned = assign(params)
        return {
            label: transformation.init(keep(params, [one == label for one in assigned]))
            for label, transformation in transformations.items()
        }

    def update(grads: Tree, state: Tree, params: Tree = None, **extra: Any) -> tuple[Tree, dict[str, Tree]]:
        grads, _ = matched("partition", grads, params)
        if not isinstance(state, dict) or set(state) != set(transformations):
            raise ValueError(
                f"partition: update() got a state that is no dict of {', '.join(transformations)}; pass what "
                "init(params) or the last update() returned"
            )
        assigned, updates, states = assign(params), {}, {}
        for label, transformation in transformations.items():
            chosen = [one == label for one in assigned]
            whose, its_params = f"partition: the update of {label!r}", keep(params, chosen)
            mine, states[label] = wide_update(
                whose, transformation, keep(grads, chosen), state[label], its_params, extra
            )
            updates[label] = iter(tree.leaves(mine))
        return tree.unflatten(tree.structure(grads), [next(updates[label]) for label in assigned]), states

    return transforming(init, update)


def masked(transformation: Transformation, mask: Mask) -> Transformation:
    """Applies a transformation to the parameters that a mask chooses; the updates of the others pass as they are.

    Args:
        transformation: what acts on the chosen ones. Its state is that of the tree without the others.
        mask: a pattern or several, each the path of a leaf or a subtree, with `*`, `?` and `[...]` as in file names; a
            predicate `(path, leaf) -> bool`; or a tree of bools with the structure of the parameters.

    Raises:
        ValueError: by `init` and `update`, when the mask fits no parameter.

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
    """Sets the updates of the parameters that a mask chooses to zero, whatever they were, so that those stay.

    It has to come last, after a weight decay in any case. The optimizer before it goes on to average the gradients of
    frozen parameters; `partition({"train": adam(), "frozen": freeze("*")}, ...)` keeps no averages for them.

    Args:
        mask: as for `masked`.

    Raises:
        ValueError: by `init` and `update`, when the mask fits no parameter.

    >>> import torch
    >>> from funcdl import optim
    >>> params = {"body": torch.ones(1), "head": torch.ones(1)}
    >>> optimizer = optim.chain(optim.sgd(lr=1.0), optim.freeze("body"))
    >>> optimizer.update(params, optimizer.init(params), params)[0]
    {'body': tensor([0.]), 'head': tensor([-1.])}

    Equals `optax.freeze`.
    """

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        return tree.zeros_like(grads), memory

    return _masked("freeze", part("freeze", {}, lambda params: {}, update, as_real=False), mask)


def _masked(owner: str, transformation: Transformation, mask: Mask) -> Transformation:
    choose = chooser(owner, mask)

    def init(params: Tree) -> Tree:
        return transformation.init(keep(params, choose(params)))

    def update(grads: Tree, state: Tree, params: Tree = None, **extra: Any) -> tuple[Tree, Tree]:
        grads, _ = matched(owner, grads, params)
        chosen = choose(params)
        its_grads, its_params = keep(grads, chosen), keep(params, chosen)
        mine, state = wide_update(f"{owner}: its update", transformation, its_grads, state, its_params, extra)
        updates = iter(tree.leaves(mine))
        leaves, structure = tree.flatten(grads)
        return tree.unflatten(
            structure, [next(updates) if c else leaf for leaf, c in zip(leaves, chosen, strict=True)]
        ), state

    return transforming(init, update)
