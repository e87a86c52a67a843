"""Groups of parameters, each with its own transformation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from funcdl import tree
from funcdl.optim.masks import Labels, mask_leaves, resolve_labels
from funcdl.optim.transformation import Transformation, check_is_transformation, inner_update, with_cast_updates
from funcdl.optim.validation import match_gradients
from funcdl.tree import Tree


def partition(transformations: Mapping[str, Transformation], labels: Labels) -> Transformation:
    """Gives each group of parameters its own transformation, such as a different learning rate or optimizer.

    Args:
        transformations: `{label: transformation}`; the labels are names without dots.
        labels: the label of each parameter: `{pattern: label}`, where the first pattern that matches counts and a
            pattern is the path of a leaf or a subtree, with the wildcards `*`, `?` and `[...]` as in file names; a
            function `(path, leaf) -> label`; or a tree of labels with the structure of the parameters.

    Returns:
        A transformation whose state is the dict of their states, so that hyperparameters are addressed as `head.1.lr`.
        Each transformation gets only its own group, so that a norm over all leaves is a norm over the group.

    Raises:
        ValueError: a parameter has no label with a transformation, or a label or pattern matches no parameter.

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
            raise ValueError(
                f"partition: the label {label!r} is not a name without dots; the paths of hyperparameters begin with it"
            )
        check_is_transformation("partition", transformations[label], f"the value of {label!r}")
    assign = resolve_labels("partition", labels, list(transformations))

    def init(params: Tree) -> dict[str, Tree]:
        assigned = assign(params)
        return {
            label: transformation.init(mask_leaves(params, [one == label for one in assigned]))
            for label, transformation in transformations.items()
        }

    def update(grads: Tree, state: Tree, params: Tree = None, **extra: Any) -> tuple[Tree, dict[str, Tree]]:
        grads, _ = match_gradients("partition", grads, params)
        if not isinstance(state, dict) or set(state) != set(transformations):
            raise ValueError(
                f"partition: update() got a state that is not a dict of {', '.join(transformations)}; pass what "
                "init(params) or the last update() returned"
            )
        assigned, updates, states = assign(params), {}, {}
        for label, transformation in transformations.items():
            chosen = [one == label for one in assigned]
            g, p = mask_leaves(grads, chosen), mask_leaves(params, chosen)
            owner = f"partition: the update of {label!r}"
            group_updates, states[label] = inner_update(owner, transformation, g, state[label], p, extra)
            updates[label] = iter(tree.leaves(group_updates))
        return tree.unflatten(tree.structure(grads), [next(updates[label]) for label in assigned]), states

    return with_cast_updates(init, update)
