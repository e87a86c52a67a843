"""Averages over the way: of the updates, or of the parameters while they are left alone."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Number, Scalar, State, number, once, whole_number
from funcdl.optim.parts import average, find, scalar
from funcdl.optim.transformation import Transformation, apply_updates, part
from funcdl.tree import Tree


def ema(decay: Number, debias: bool = True) -> Transformation:
    """Replaces updates by their exponential moving average: `m <- decay m + (1 - decay) u`.

    Args:
        decay: in [0, 1).
        debias: whether to divide by the weight that updates have in `m` so far, `1 - decay^t`.

    Raises:
        ValueError: `decay` is out of range.

    >>> params = {"w": torch.zeros(2)}
    >>> transformation = ema(0.9, debias=False)
    >>> transformation.update({"w": torch.tensor([1.0, 2.0])}, transformation.init(params), params)[0]
    {'w': tensor([0.1000, 0.2000])}

    Equals `optax.ema`.
    """

    def init(params: Tree) -> dict[str, Tree]:
        return {"average": tree.zeros_like(params), "weight": scalar(params)}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        weight = _moved(memory["weight"], h["decay"])
        share = once((1 - h["decay"]) / weight) if debias else 1 - h["decay"]
        updates = average(memory["average"], grads, share)
        return updates, {"average": updates, "weight": weight}

    return part("ema", {"decay": number("ema", "decay", decay, high=1.0)}, init, update)


def params_ema(decay: Number = 0.999, debias: bool = True) -> Transformation:
    """Keeps an exponential moving average of the parameters, and leaves the updates as they are.

    `a <- decay a + (1 - decay) p` for the parameters `p` after each update. Read it with `averaged_params(state)`.
    It has to be the last part of a chain, since it adds the updates to the parameters. In bfloat16, changes of less
    than 1/256 are lost in the sum: use a decay below 0.99 there, or float32 parameters.

    Args:
        decay: in [0, 1).
        debias: whether to leave the parameters before the first update out of the average, by dividing by the weight
            of the others, `1 - decay^t`; else the average starts with them.

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

    def init(params: Tree) -> dict[str, Tree]:
        return {
            "averaged_params": tree.map(torch.clone, params),
            "weight": scalar(params) if debias else scalar(params) + 1,
        }

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        weight = _moved(memory["weight"], h["decay"])
        share = once((1 - h["decay"]) / weight)
        averaged = average(memory["averaged_params"], apply_updates(params, grads), share)
        return grads, {"averaged_params": averaged, "weight": weight}

    numbers = {"decay": number("params_ema", "decay", decay, high=1.0)}
    return part("params_ema", numbers, init, update, as_real=False)


def swa(start: Number = 1, every: Number = 1) -> Transformation:
    """Keeps the plain mean of the parameters along the way (stochastic weight averaging); the updates stay as they are.

    The parameters after the updates number `start`, `start + every`, `start + 2 every`, ... are averaged. Read the mean
    with `averaged_params(state)`; before `start` it is the current parameters. It has to be the last part of a chain.

    Args:
        start: number of the first update that counts, a whole number, at least 1.
        every: updates from one that counts to the next, a whole number, at least 1.

    Raises:
        ValueError: a number is out of range.

    >>> from funcdl import optim
    >>> optimizer, params = optim.chain(optim.sgd(lr=1.0), optim.swa(start=2)), {"w": torch.tensor([4.0])}
    >>> state = optimizer.init(params)
    >>> for _ in range(3):  # 4, 3, 2, 1
    ...     updates, state = optimizer.update({"w": torch.ones(1)}, state, params)
    ...     params = optim.apply_updates(params, updates)
    >>> optim.averaged_params(state)
    {'w': tensor([1.5000])}

    Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization" (2018),
    https://arxiv.org/abs/1803.05407. Equals `torch.optim.swa_utils.AveragedModel`, updated after those steps. Running
    statistics of batch normalisation do not belong to the averaged parameters: compute them anew.
    """

    def init(params: Tree) -> dict[str, Tree]:
        return {"averaged_params": tree.map(torch.clone, params), "averaged": scalar(params).long()}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        since = count + 1 - h["start"]
        counts = (since >= 0) & (since % h["every"] == 0)
        averaged = memory["averaged"] + counts
        share = once(torch.where(since < 0, 1.0, counts.double() / averaged.clamp(min=1)))
        moved = average(memory["averaged_params"], apply_updates(params, grads), share)
        return grads, {"averaged_params": moved, "averaged": averaged}

    numbers = {"start": whole_number("swa", "start", start), "every": whole_number("swa", "every", every)}
    return part("swa", numbers, init, update, as_real=False)


def averaged_params(state: Tree) -> Tree:
    """Returns the averaged parameters that `params_ema` or `swa` keeps in the state of an optimizer.

    The average of float16 parameters is float32: cast it where the model is to have it in float16.

    Args:
        state: of an optimizer that has one of the two in it.

    Raises:
        ValueError: the state has no such part, or several.

    >>> from funcdl import optim
    >>> averaged_params(optim.chain(optim.adam(), optim.swa()).init({"w": torch.ones(2)}))
    {'w': tensor([1., 1.])}
    """
    found = find(state, lambda part: isinstance(part, State) and "averaged_params" in part.memory)
    if len(found) != 1:
        raise ValueError(
            f"averaged_params: the state has {len(found)} averages of parameters, expected 1; pass the state of one "
            "optimizer made with params_ema() or swa()"
        )
    return found[0].memory["averaged_params"]


def _moved(weight: Scalar, decay: Scalar) -> Scalar:
    """The weight that what was seen has in an average which started at 0: `1 - decay^t` as long as it is constant."""
    return weight * decay + (1 - decay)
