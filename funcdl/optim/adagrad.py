"""Adagrad: a learning rate for each weight that falls with the sum of its squared gradients."""

from __future__ import annotations

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_hyperparameter, check_nonnegative, materialize
from funcdl.optim.learning_rate import scale_by_learning_rate
from funcdl.optim.safe_math import safe_sqrt
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.tree_math import tree_full_like, tree_scale
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation, stateless
from funcdl.optim.weight_decay import add_decayed_weights
from funcdl.tree import Tree


def adagrad(
    lr: ScalarOrSchedule = 1e-2,
    lr_decay: ScalarOrSchedule = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    initial_accumulator_value: ScalarOrSchedule = 0.0,
    eps: ScalarOrSchedule = 1e-10,
    *,
    maximize: bool = False,
) -> Transformation:
    """Adagrad: `p <- p - lr / (1 + (t - 1) lr_decay) d` at update `t`, `d` the direction of `scale_by_adagrad`.

    Args:
        lr: learning rate, at least 0.
        lr_decay: how fast it falls, at least 0; see `scale_by_inverse_time`.
        weight_decay: L2 penalty, at least 0.
        initial_accumulator_value: initial value of the sums of squares, at least 0. Only `init` reads it, so it cannot
            be replaced later.
        eps: added to the denominator, at least 0.
        maximize: whether to ascend.

    Returns:
        A transformation with the hyperparameters `weight_decay`, `eps`, `decay` and `lr`.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.adagrad(lr=0.1), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, 20.0])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.9000, 0.9000])}

    Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization" (2011),
    https://jmlr.org/papers/v12/duchi11a.html. Equals `torch.optim.Adagrad`.
    """
    return chain(
        add_decayed_weights(weight_decay),
        scale_by_adagrad(initial_accumulator_value, eps),
        scale_by_inverse_time(lr_decay),
        scale_by_learning_rate(lr),
        maximize=maximize,
    )


def scale_by_adagrad(
    initial_accumulator_value: ScalarOrSchedule = 0.0, eps: ScalarOrSchedule = 1e-10
) -> Transformation:
    """Divides each gradient by the square root of the sum of its squares: `a <- a + g^2`, `d = g / (sqrt(a) + eps)`.

    Args:
        initial_accumulator_value: initial value of `a`, at least 0; only `init` reads it.
        eps: added to the denominator, at least 0.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_adagrad(initial_accumulator_value=9.0)
    >>> transformation.update({"w": torch.tensor([4.0, 0.0])}, transformation.init(params), params)[0]
    {'w': tensor([0.8000, 0.0000])}
    """
    start = check_hyperparameter("scale_by_adagrad", "initial_accumulator_value", initial_accumulator_value)

    def init(params: Tree) -> Buffers:
        return {"sum": tree_full_like(params, start)}

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        total = tree.map(lambda a, g: a + g * g, buffers["sum"], grads)
        updates = tree.map(lambda g, a: g / (safe_sqrt(a) + hyper["eps"].to(a.dtype)), grads, total)
        return updates, {"sum": total}

    return make_transformation("scale_by_adagrad", check_nonnegative("scale_by_adagrad", eps=eps), init, update)


def scale_by_inverse_time(decay: ScalarOrSchedule) -> Transformation:
    """Decays the gradients with time: `u = g / (1 + (t - 1) decay)` at update `t = 1, 2, ...`.

    Args:
        decay: how fast, at least 0.

    Raises:
        ValueError: `decay` is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(1)}
    >>> transformation = scale_by_inverse_time(1.0)
    >>> _, state = transformation.update({"w": torch.ones(1)}, transformation.init(params), params)
    >>> transformation.update({"w": torch.ones(1)}, state, params)[0]
    {'w': tensor([0.5000])}
    """

    def update(grads: Tree, params: Tree, hyper: Hyper, count: Count) -> Tree:
        return tree_scale(materialize(1 / (1 + count * hyper["decay"])), grads)

    return stateless("scale_by_inverse_time", check_nonnegative("scale_by_inverse_time", decay=decay), update)
