"""Networks that are trained side by side from several seeds, as one ensemble: what they say together is no chance."""

from __future__ import annotations

from funcdl import optim, tree
from funcdl.optim.hyperparameters import Count
from funcdl.optim.update_rule import Hyper
from funcdl.tree import Tree


def optimizer_of_each(optimizer: optim.Transformation, members: int) -> optim.Transformation:
    """Returns the optimizer of an ensemble whose loss is the mean over its members, so that each learns as if alone.

    The mean divides the gradient of every member by their number; this one multiplies it again.

    >>> import torch
    >>> together = optimizer_of_each(optim.sgd(lr=0.1), 5)
    >>> params, grads = {"w": torch.ones(5)}, {"w": torch.full((5,), 2.0)}
    >>> fifths = {"w": grads["w"] / 5}
    >>> together.update(fifths, together.init(params), params)[0]["w"]
    tensor([-0.2000, -0.2000, -0.2000, -0.2000, -0.2000])
    """

    def update(grads: Tree, params: Tree, hyper: Hyper, count: Count) -> Tree:
        return tree.map(lambda g: g * members, grads)

    return optim.chain(optim.stateless("scale_by_members", {}, update), optimizer)
