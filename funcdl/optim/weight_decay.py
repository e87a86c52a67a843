"""Weight decay: an L2 penalty before the scaling of an optimizer, decoupled weight decay after it."""

from __future__ import annotations

import torch

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_nonnegative
from funcdl.optim.masks import Mask
from funcdl.optim.transformation import Transformation
from funcdl.optim.tree_math import cached_cast
from funcdl.optim.update_rule import Hyper, stateless
from funcdl.optim.wrappers.masked import masked
from funcdl.tree import Tree


def add_decayed_weights(weight_decay: ScalarOrSchedule, mask: Mask | None = None) -> Transformation:
    """Adds the parameters to the gradients: `u = g + weight_decay p`.

    Before the scaling of an optimizer this is an L2 penalty (`torch.optim.Adam`), after it decoupled weight decay
    (`torch.optim.AdamW`). `weight_decay=0` computes the sum as well, so that it may change later without another
    graph; torch leaves it out, which makes a difference only for parameters that are not finite.

    Args:
        weight_decay: factor of the parameters, at least 0.
        mask: which parameters decay, as for `masked`; all of them by default.

    >>> import torch
    >>> params = {"w": torch.tensor([1.0, 2.0])}
    >>> transformation = add_decayed_weights(0.1)
    >>> transformation.update({"w": torch.zeros(2)}, transformation.init(params), params)[0]
    {'w': tensor([0.1000, 0.2000])}
    """

    def update(grads: Tree, params: Tree, hyper: Hyper, count: Count) -> Tree:
        weight_decay = cached_cast(hyper["weight_decay"])
        return tree.map(lambda g, p: torch.addcmul(g, weight_decay(p.dtype), p), grads, params)

    hyperparameters = check_nonnegative("add_decayed_weights", weight_decay=weight_decay)
    decay = stateless("add_decayed_weights", hyperparameters, update)
    return decay if mask is None else masked(decay, mask)
