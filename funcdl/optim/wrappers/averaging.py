"""Moving averages of the updates (`ema`), or of the parameters over the course of training (`params_ema`, `swa`)."""

from __future__ import annotations

import torch

from funcdl import tree
from funcdl.optim.hyperparameters import (
    Count,
    Scalar,
    ScalarOrSchedule,
    check_hyperparameter,
    check_integer,
    materialize,
)
from funcdl.optim.state import find_state, zero_scalar
from funcdl.optim.transformation import Transformation, apply_updates
from funcdl.optim.tree_math import tree_lerp
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.tree import Tree


def ema(decay: ScalarOrSchedule, debias: bool = True) -> Transformation:
    """Replaces updates by their exponential moving average: `m <- decay m + (1 - decay) u`.

    Args:
        decay: in [0, 1).
        debias: whether to divide `m` by the total weight of the updates in it, `1 - decay^t`.

    Raises:
        ValueError: `decay` is out of range.

    >>> params = {"w": torch.zeros(2)}
    >>> transformation = ema(0.9, debias=False)
    >>> transformation.update({"w": torch.tensor([1.0, 2.0])}, transformation.init(params), params)[0]
    {'w': tensor([0.1000, 0.2000])}

    Equals `optax.ema`.
    """

    def init(params: Tree) -> Buffers:
        return {"average": tree.zeros_like(params), "weight": zero_scalar(params)}

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        weight = _total_weight(buffers["weight"], hyper["decay"])
        new_weight = materialize((1 - hyper["decay"]) / weight) if debias else 1 - hyper["decay"]
        updates = tree_lerp(buffers["average"], grads, new_weight)
        return updates, {"average": updates, "weight": weight}

    return make_transformation("ema", {"decay": check_hyperparameter("ema", "decay", decay, high=1.0)}, init, update)


def params_ema(decay: ScalarOrSchedule = 0.999, debias: bool = True) -> Transformation:
    """Keeps an exponential moving average of the parameters; the updates pass unchanged.

    `a <- decay a + (1 - decay) p` for the parameters `p` after each update. Read it with `averaged_params(state)`.
    It has to be the last transformation of a chain, because it adds the updates to the parameters. In bfloat16,
    relative changes of less than 1/256 are lost in the sum: use a decay below 0.99 there, or float32 parameters.

    Args:
        decay: in [0, 1).
        debias: whether to exclude the initial parameters from the average, by dividing by the total weight of the
            others, `1 - decay^t`. With False the average starts at the initial parameters.

    Raises:
        ValueError: `decay` is out of range.

    >>> from funcdl import optim
    >>> optimizer, params = optim.chain(optim.sgd(lr=1.0), optim.params_ema(0.75)), {"w": torch.tensor([4.0])}
    >>> state = optimizer.init(params)
    >>> for _ in range(2):  # 4, 3, 2
    ...     updates, state = optimizer.update({"w": torch.ones(1)}, state, params)
    ...     params = optim.apply_updates(params, updates)
    >>> optim.averaged_params(state)  # (0.75 * 3 + 2) / 1.75
    {'w': tensor([2.4286])}

    Without `debias` equals `torch.optim.swa_utils.AveragedModel(multi_avg_fn=get_ema_multi_avg_fn(decay))`, updated
    before the first step and after each one.
    """

    def init(params: Tree) -> Buffers:
        return {
            "averaged_params": tree.map(torch.clone, params),
            "weight": zero_scalar(params) if debias else zero_scalar(params) + 1,
        }

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        weight = _total_weight(buffers["weight"], hyper["decay"])
        new_weight = materialize((1 - hyper["decay"]) / weight)
        averaged = tree_lerp(buffers["averaged_params"], apply_updates(params, grads), new_weight)
        return grads, {"averaged_params": averaged, "weight": weight}

    hyperparameters = {"decay": check_hyperparameter("params_ema", "decay", decay, high=1.0)}
    return make_transformation("params_ema", hyperparameters, init, update, as_real=False)


def swa(start: ScalarOrSchedule = 1, every: ScalarOrSchedule = 1) -> Transformation:
    """Keeps the mean of the parameters over training (stochastic weight averaging); the updates pass unchanged.

    The mean is over the parameters after the updates with the numbers `start`, `start + every`, `start + 2 every`, ...
    Read it with `averaged_params(state)`; before `start` it is the current parameters. This has to be the last
    transformation of a chain.

    Args:
        start: the number of the first averaged update, an integer, at least 1.
        every: the distance between averaged updates, an integer, at least 1.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> from funcdl import optim
    >>> optimizer, params = optim.chain(optim.sgd(lr=1.0), optim.swa(start=2)), {"w": torch.tensor([4.0])}
    >>> state = optimizer.init(params)
    >>> for _ in range(3):  # 4, 3, 2, 1
    ...     updates, state = optimizer.update({"w": torch.ones(1)}, state, params)
    ...     params = optim.apply_updates(params, updates)
    >>> optim.averaged_params(state)
    {'w': tensor([1.5000])}

    Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization" (2018),
    https://arxiv.org/abs/1803.05407. Equals `torch.optim.swa_utils.AveragedModel`, updated after those steps. The
    running statistics of batch normalization do not match the averaged parameters: compute them again.
    """

    def init(params: Tree) -> Buffers:
        return {"averaged_params": tree.map(torch.clone, params), "n_averaged": zero_scalar(params, torch.int64)}

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        since = count + 1 - hyper["start"]
        included = (since >= 0) & (since % hyper["every"] == 0)
        n_averaged = buffers["n_averaged"] + included
        new_weight = materialize(torch.where(since < 0, 1.0, included.double() / n_averaged.clamp(min=1)))
        averaged = tree_lerp(buffers["averaged_params"], apply_updates(params, grads), new_weight)
        return grads, {"averaged_params": averaged, "n_averaged": n_averaged}

    hyperparameters = {"start": check_integer("swa", "start", start), "every": check_integer("swa", "every", every)}
    return make_transformation("swa", hyperparameters, init, update, as_real=False)


def averaged_params(state: Tree) -> Tree:
    """Returns the averaged parameters in the state of an optimizer with `params_ema` or `swa`.

    The average of float16 parameters is float32: cast it if the model needs float16.

    Args:
        state: the state of an optimizer that contains one of the two.

    Raises:
        ValueError: the state has neither of them, or several.

    >>> from funcdl import optim
    >>> averaged_params(optim.chain(optim.adam(), optim.swa()).init({"w": torch.ones(2)}))
    {'w': tensor([1., 1.])}
    """
    found = find_state("averaged_params", state, "averaged_params", "params_ema() or swa()")
    return found.buffers["averaged_params"]


def _total_weight(weight: Scalar, decay: Scalar) -> Scalar:
    """Updates the sum of all weights in an average that started at 0: `1 - decay^t` if the decay is constant."""
    return weight * decay + (1 - decay)
