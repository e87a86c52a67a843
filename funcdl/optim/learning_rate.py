"""The step of descent that most optimizers end with."""

from __future__ import annotations

from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_nonnegative
from funcdl.optim.transformation import Transformation
from funcdl.optim.tree_math import tree_scale
from funcdl.optim.update_rule import Hyper, stateless
from funcdl.tree import Tree


def scale_by_learning_rate(lr: ScalarOrSchedule) -> Transformation:
    """Turns a direction of ascent into a step of descent: `u = -lr g`. Most optimizers end with it.

    Args:
        lr: learning rate, at least 0.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_learning_rate(0.5)
    >>> transformation.update({"w": torch.tensor([1.0, 2.0])}, transformation.init(params), params)[0]
    {'w': tensor([-0.5000, -1.0000])}
    """

    def update(grads: Tree, params: Tree, hyper: Hyper, count: Count) -> Tree:
        return tree_scale(-hyper["lr"], grads)

    return stateless("scale_by_learning_rate", check_nonnegative("scale_by_learning_rate", lr=lr), update)
