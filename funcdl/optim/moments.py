"""Moments of gradients: exponential moving averages that start at zero, and the correction of that bias."""

from __future__ import annotations

from collections.abc import Callable

from funcdl import tree
from funcdl.optim.hyperparameters import Count, Scalar
from funcdl.optim.update_rule import Buffers
from funcdl.tree import Tree


def zero_buffers(*names: str) -> Callable[[Tree], Buffers]:
    """Returns the function `params -> buffers` that makes for each name a tree of zeros like the parameters.

    >>> import torch
    >>> zero_buffers("exp_avg")({"w": torch.ones(2)})
    {'exp_avg': {'w': tensor([0., 0.])}}
    """

    def init_buffers(params: Tree) -> Buffers:
        return {name: tree.zeros_like(params) for name in names}

    return init_buffers


def bias_correction(decay: Scalar, count: Count) -> Scalar:
    """Returns the total weight of `count + 1` values in a moving average that started at 0: `1 - decay^(count + 1)`.

    >>> import torch
    >>> bias_correction(torch.tensor(0.5), torch.tensor(1))
    tensor(0.7500)
    """
    return 1 - decay ** (count + 1)
