"""Averaged stochastic gradient descent: a falling learning rate, and the average of the parameters over training."""

from __future__ import annotations

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_nonnegative, materialize
from funcdl.optim.moments import zero_buffers
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.tree_math import scale, tree_lerp
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation, stateless
from funcdl.optim.weight_decay import add_decayed_weights
from funcdl.tree import Tree


def asgd(
    lr: ScalarOrSchedule = 1e-2,
    lambd: ScalarOrSchedule = 1e-4,
    alpha: ScalarOrSchedule = 0.75,
    t0: ScalarOrSchedule = 1e6,
    weight_decay: ScalarOrSchedule = 0.0,
    *,
    maximize: bool = False,
) -> Transformation:
    """Averaged SGD: the steps of `scale_by_asgd` for the gradient `g + weight_decay p`, and `average_params` of them.

    The average is in the state of the last transformation: `state[-1].buffers["ax"]`, a tree like the parameters (real
    views of complex ones). Evaluate at the average; take the gradients at the parameters themselves.

    Args:
        lr: learning rate at the start, at least 0.
        lambd: decay of the parameters and of the rate, at least 0.
        alpha: exponent of the decay of the rate, at least 0.
        t0: updates before averaging begins, at least 0.
        weight_decay: L2 penalty, at least 0.
        maximize: whether to ascend; `lambd` shrinks the parameters in either case.

    Returns:
        A transformation with the hyperparameters `weight_decay`, `lr`, `lambd`, `alpha` and `t0`.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.asgd(lr=0.5, t0=0), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, -1.0])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.4999, 1.4999])}
    >>> state[-1].buffers["ax"]
    {'w': tensor([0.4999, 1.4999])}

    Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992),
    https://doi.org/10.1137/0330046. Equals `torch.optim.ASGD`, except that a new `lr` or `lambd` takes effect
    immediately instead of one update later.
    """
    return chain(
        add_decayed_weights(weight_decay), scale_by_asgd(lr, lambd, alpha), average_params(t0), maximize=maximize
    )


def scale_by_asgd(
    lr: ScalarOrSchedule = 1e-2, lambd: ScalarOrSchedule = 1e-4, alpha: ScalarOrSchedule = 0.75
) -> Transformation:
    """Takes steps of descent at a falling rate: `eta = lr / (1 + lambd lr (t - 1))^alpha`, `u = -eta (g + lambd p)`.

    At update `t = 1, 2, ...`.

    Args:
        lr: the rate at the start, at least 0.
        lambd: decay of the parameters and of the rate, at least 0.
        alpha: exponent of the decay of the rate, at least 0.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(1)}
    >>> transformation = scale_by_asgd(lr=0.5, lambd=1.0)
    >>> transformation.update({"w": torch.ones(1)}, transformation.init(params), params)[0]
    {'w': tensor([-1.])}
    """
    hyperparameters = check_nonnegative("scale_by_asgd", lr=lr, lambd=lambd, alpha=alpha)

    def update(grads: Tree, params: Tree, hyper: Hyper, count: Count) -> Tree:
        eta = materialize(hyper["lr"] / (1 + hyper["lambd"] * hyper["lr"] * count) ** hyper["alpha"])
        return tree.map(lambda g, p: -scale(eta, g + scale(hyper["lambd"], p)), grads, params)

    return stateless("scale_by_asgd", hyperparameters, update)


def average_params(t0: ScalarOrSchedule = 0.0) -> Transformation:
    """Averages the parameters after each update; the updates pass unchanged.

    `ax <- ax + (p + u - ax) / max(1, t - 1 - t0)` at update `t`: up to `t0 + 2` the average is the parameters
    themselves. It has to be the last one of a chain; its state has the average, `buffers["ax"]`.

    Args:
        t0: updates before averaging begins, at least 0.

    Raises:
        ValueError: `t0` is out of range.

    >>> import torch
    >>> params = {"w": torch.zeros(1)}
    >>> transformation = average_params()
    >>> state = transformation.init(params)
    >>> for _ in range(3):
    ...     updates, state = transformation.update({"w": torch.ones(1)}, state, params)
    ...     params = {"w": params["w"] + updates["w"]}
    >>> params, state.buffers["ax"]
    ({'w': tensor([3.])}, {'w': tensor([2.5000])})
    """

    init = zero_buffers("ax")

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        weight = materialize(1 / (count - hyper["t0"]).clamp(min=1))
        return grads, {"ax": tree_lerp(buffers["ax"], tree.map(lambda p, g: p + g, params, grads), weight)}

    return make_transformation("average_params", check_nonnegative("average_params", t0=t0), init, update)
