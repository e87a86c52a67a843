"""Momentum: gradients summed up (`trace`) or averaged (`average_gradients`) with decay."""

from __future__ import annotations

import torch

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_hyperparameter, check_nonnegative, materialize
from funcdl.optim.moments import zero_buffers
from funcdl.optim.transformation import Transformation
from funcdl.optim.tree_math import cached_cast, tree_lerp
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.tree import Tree


def trace(momentum: ScalarOrSchedule, dampening: ScalarOrSchedule = 0.0, nesterov: bool = False) -> Transformation:
    """Sums gradients with decay: `b <- momentum b + (1 - dampening) g` and `u = b`; the first time `b = g`.

    With `nesterov`, `u = g + momentum b`.

    Args:
        momentum: decay of the sum, at least 0.
        dampening: fraction of each new gradient that is left out of the sum.
        nesterov: whether to use Nesterov momentum; needs a dampening of 0.

    Raises:
        ValueError: a hyperparameter is out of range, or `nesterov` is with dampening.

    >>> import torch
    >>> params = {"w": torch.ones(1)}
    >>> transformation = trace(0.5)
    >>> _, state = transformation.update({"w": torch.tensor([1.0])}, transformation.init(params), params)
    >>> transformation.update({"w": torch.tensor([1.0])}, state, params)[0]
    {'w': tensor([1.5000])}
    """
    hyperparameters = {
        **check_nonnegative("trace", momentum=momentum),
        "dampening": check_hyperparameter("trace", "dampening", dampening, low=-float("inf")),
    }
    if nesterov and not (isinstance(dampening, (int, float)) and dampening == 0):
        raise ValueError(f"trace: nesterov=True with dampening={dampening} is not defined; leave the dampening out")

    init = zero_buffers("momentum_buffer")

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        decay = cached_cast(hyper["momentum"])
        weight = cached_cast(materialize(torch.where(count == 0, 1.0, 1 - hyper["dampening"])))
        sums = buffers["momentum_buffer"]
        buffer = tree.map(lambda b, g: torch.addcmul(weight(g.dtype) * g, decay(b.dtype), b), sums, grads)
        updates = tree.map(lambda g, b: torch.addcmul(g, decay(b.dtype), b), grads, buffer) if nesterov else buffer
        return updates, {"momentum_buffer": buffer}

    return make_transformation("trace", hyperparameters, init, update)


def average_gradients(momentum: ScalarOrSchedule = 0.95, nesterov: bool = False) -> Transformation:
    """Averages gradients with decay: `b <- b + (1 - momentum) (g - b)` and `u = b`.

    With `nesterov`, `u = g + momentum (b - g)`. Unlike in `trace`, the weights of the gradients sum to 1.

    Args:
        momentum: decay of the average, in [0, 1].
        nesterov: whether to use Nesterov momentum.

    Raises:
        ValueError: `momentum` is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(1)}
    >>> transformation = average_gradients(0.75)
    >>> transformation.update({"w": torch.tensor([4.0])}, transformation.init(params), params)[0]
    {'w': tensor([1.])}
    """
    hyperparameters = {
        "momentum": check_hyperparameter("average_gradients", "momentum", momentum, high=1.0, open=False)
    }

    init = zero_buffers("momentum_buffer")

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        buffer = tree_lerp(buffers["momentum_buffer"], grads, 1 - hyper["momentum"])
        return tree_lerp(grads, buffer, hyper["momentum"]) if nesterov else buffer, {"momentum_buffer": buffer}

    return make_transformation("average_gradients", hyperparameters, init, update)
