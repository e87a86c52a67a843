"""Rprop: a step size per weight that grows while the sign of the gradient stays the same, and shrinks otherwise."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_hyperparameter, check_tuple
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.tree_math import tree_full_like
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.tree import Tree


def rprop(
    lr: ScalarOrSchedule = 1e-2,
    etas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.5, 1.2),
    step_sizes: tuple[ScalarOrSchedule, ScalarOrSchedule] = (1e-6, 50.0),
    *,
    maximize: bool = False,
) -> Transformation:
    """Resilient backpropagation: `p <- p - s sign(g)`, the step sizes `s` and the rest by `scale_by_rprop`.

    Use it with gradients of the whole data set, because the noise of batches flips signs, which shrinks every step.

    Args:
        lr: initial step size, at least 0. Only `init` reads it, so it cannot be replaced later.
        etas: factors that decrease and increase a step size, in [0, 1) and at least 1.
        step_sizes: the smallest and the largest step size, at least 0.
        maximize: whether to ascend.

    Returns:
        A transformation with the hyperparameters `etaminus`, `etaplus`, `step_size_min` and `step_size_max`.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.rprop(lr=0.1), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, -20.0])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.9000, 1.1000])}

    Riedmiller and Braun, "A Direct Adaptive Method for Faster Backpropagation Learning: The RPROP Algorithm" (1993),
    https://doi.org/10.1109/ICNN.1993.298623. Equals `torch.optim.Rprop`.
    """
    return chain(scale_by_rprop(lr, etas, step_sizes), maximize=maximize)


def scale_by_rprop(
    lr: ScalarOrSchedule = 1e-2,
    etas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.5, 1.2),
    step_sizes: tuple[ScalarOrSchedule, ScalarOrSchedule] = (1e-6, 50.0),
) -> Transformation:
    """Replaces each gradient with a step of descent whose size depends on the signs of its gradients only.

    `s <- s etaplus` where the gradient has the same sign as the previous one, `s <- s etaminus` where the sign differs,
    then `s` is clamped to the range of `step_sizes`; `u = -s sign(g)`. Where the sign changed, `u = 0` and the next
    update sees a previous gradient of 0. The sign of NaN is 0: a NaN leaves its parameter and its step size unchanged.

    Args:
        lr: initial step size, at least 0; only `init` reads it.
        etas: `etaminus`, in [0, 1), and `etaplus`, at least 1.
        step_sizes: the smallest and the largest `s`, at least 0.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_rprop(lr=0.5)
    >>> _, state = transformation.update({"w": torch.tensor([3.0, 3.0])}, transformation.init(params), params)
    >>> transformation.update({"w": torch.tensor([4.0, -4.0])}, state, params)[0]
    {'w': tensor([-0.6000, -0.0000])}
    """
    start = check_hyperparameter("scale_by_rprop", "lr", lr)
    etaminus, etaplus = check_tuple("scale_by_rprop", "etas", etas, 2)
    smallest, largest = check_tuple("scale_by_rprop", "step_sizes", step_sizes, 2)
    hyperparameters = {
        "etaminus": check_hyperparameter("scale_by_rprop", "etas[0]", etaminus, high=1.0),
        "etaplus": check_hyperparameter("scale_by_rprop", "etas[1]", etaplus, low=1.0),
        "step_size_min": check_hyperparameter("scale_by_rprop", "step_sizes[0]", smallest),
        "step_size_max": check_hyperparameter("scale_by_rprop", "step_sizes[1]", largest, open=False),
    }

    def init(params: Tree) -> Buffers:
        return {"prev": tree.zeros_like(params), "step_size": tree_full_like(params, start)}

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        def resize(size: Tensor, agreement: Tensor) -> Tensor:
            eta = {name: value.to(size.dtype) for name, value in hyper.items()}
            factor = torch.where(agreement > 0, eta["etaplus"], torch.where(agreement < 0, eta["etaminus"], 1.0))
            return (size * factor).clamp(eta["step_size_min"], eta["step_size_max"])

        agreements = tree.map(torch.mul, grads, buffers["prev"])
        step_size = tree.map(resize, buffers["step_size"], agreements)
        prev = tree.map(lambda g, agreement: torch.where(agreement < 0, 0.0, g), grads, agreements)
        updates = tree.map(lambda g, size: -g.sign() * size, prev, step_size)
        return updates, {"prev": prev, "step_size": step_size}

    return make_transformation("scale_by_rprop", hyperparameters, init, update)
