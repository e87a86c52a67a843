"""A learning rate that falls when the loss stops falling."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from funcdl.optim.hyperparameters import (
    Number,
    Scalar,
    get_hyperparameters,
    number,
    replace_hyperparameters,
    whole_number,
)
from funcdl.optim.parts import scalar
from funcdl.optim.schedules.arguments import one_of
from funcdl.optim.transformation import Transformation, check_is_transformation, part, transforming, wide_update
from funcdl.optim.wrapping import Wrapped, check_wrapped
from funcdl.tree import Tree


def reduce_on_plateau(
    optimizer: Transformation,
    mode: Literal["min", "max"] = "min",
    factor: Number = 0.1,
    patience: Number = 10,
    threshold: Number = 1e-4,
    threshold_mode: Literal["rel", "abs"] = "rel",
    cooldown: Number = 0,
    min_lr: Number = 0.0,
    eps: Number = 1e-8,
) -> Transformation:
    """Multiplies every `lr` of an optimizer by `factor` when the loss has not improved for a while.

    The loss comes through `update(grads, state, params, value=loss)`, as `train.make_step` passes it; a new rate holds
    from the next update on. Each update counts, so `patience` is a number of updates and not of epochs.

    Args:
        optimizer: what has the rates, each a float or a tensor: a schedule would write them anew.
        mode: whether the loss should become small or large.
        factor: what the rates are multiplied by, in [0, 1).
        patience: how many updates without improvement are allowed, a whole number, at least 0.
        threshold: how much better than the best a loss has to be, at least 0.
        threshold_mode: whether `threshold` is a share of the best loss or a difference.
        cooldown: updates after a reduction before bad ones are counted again, a whole number, at least 0.
        min_lr: below this no rate falls, at least 0.
        eps: a reduction by this or less is left out, at least 0.

    Returns:
        A transformation, the numbers of which are `wrapper.factor` and so on, and those of `optimizer`, as
        `optimizer.1.lr`.

    Raises:
        ValueError: a number is out of range; the optimizer has no `lr`, or a schedule governs it.

    >>> from funcdl import optim
    >>> optimizer, params = optim.reduce_on_plateau(optim.sgd(lr=0.5), patience=1), {"w": torch.zeros(1)}
    >>> state = optimizer.init(params)
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     _, state = optimizer.update({"w": torch.ones(1)}, state, params, value=torch.tensor(loss))
    ...     print(round(float(optim.get_hyperparameters(state)["optimizer.1.lr"]), 3))
    0.5
    0.5
    0.5
    0.05

    Equals `torch.optim.lr_scheduler.ReduceLROnPlateau`, stepped after each update.
    """
    check_is_transformation("reduce_on_plateau", optimizer)
    numbers = {
        "factor": number("reduce_on_plateau", "factor", factor, high=1.0),
        "patience": whole_number("reduce_on_plateau", "patience", patience, low=0),
        "threshold": number("reduce_on_plateau", "threshold", threshold),
        "cooldown": whole_number("reduce_on_plateau", "cooldown", cooldown, low=0),
        "min_lr": number("reduce_on_plateau", "min_lr", min_lr),
        "eps": number("reduce_on_plateau", "eps", eps),
    }
    one_of("reduce_on_plateau", "mode", mode, ["min", "max"])
    one_of("reduce_on_plateau", "threshold_mode", threshold_mode, ["rel", "abs"])
    sign = 1 if mode == "min" else -1

    def remember(params: Tree) -> dict[str, Tree]:
        none = scalar(params).long()
        return {
            "best": scalar(params) + sign * math.inf,
            "bad_updates": none,
            "cooldown_left": none.clone(),
            "reduces": none > 0,
        }

    def watch(
        grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor, *, value: Tensor
    ) -> tuple[Tree, dict]:
        value, best = torch.as_tensor(value, device=count.device).double(), memory["best"]
        better = best * (1 - sign * h["threshold"]) if threshold_mode == "rel" else best - sign * h["threshold"]
        improved = value < better if mode == "min" else value > better
        cooling = memory["cooldown_left"] > 0
        bad = torch.where(improved | cooling, 0, memory["bad_updates"] + 1)
        reduces = bad > h["patience"]
        return grads, {
            "best": torch.where(improved, value, best),
            "bad_updates": torch.where(reduces, 0, bad),
            "cooldown_left": torch.where(reduces, h["cooldown"].long(), memory["cooldown_left"] - cooling.long()),
            "reduces": reduces,
        }

    watcher = part("reduce_on_plateau", numbers, remember, watch, needs=("value",), as_real=False)

    def init(params: Tree) -> Wrapped:
        state = optimizer.init(params)
        if not _rates(state):
            raise ValueError(
                "reduce_on_plateau: the optimizer has no number 'lr' to reduce; pass one that has, such as adam()"
            )
        return Wrapped(watcher.init(params), state)

    def update(grads: Tree, state: Wrapped, params: Tree = None, **extra: Any) -> tuple[Tree, Wrapped]:
        check_wrapped("reduce_on_plateau", state)
        _, wrapper = watcher.update(grads, state.wrapper, params, **extra)
        whose = "reduce_on_plateau: the optimizer's update"
        updates, optimizer_state = wide_update(whose, optimizer, grads, state.optimizer, params, extra)
        before, h, lower = _rates(state.optimizer), wrapper.hyperparameters, {}
        for path, lr in _rates(optimizer_state).items():
            if lr is not before[path]:  # what no schedule writes is handed on as it is
                raise ValueError(
                    f"reduce_on_plateau: a schedule governs '{path}', and would undo each reduction; make the "
                    "optimizer with a float"
                )
            new = torch.maximum(lr * h["factor"], h["min_lr"])
            lower[path] = torch.where(wrapper.memory["reduces"] & (lr - new > h["eps"]), new, lr)
        return updates, Wrapped(wrapper, replace_hyperparameters(optimizer_state, lower))

    return transforming(init, update)


def _rates(state: Tree) -> dict[str, Scalar]:
    return {path: lr for path, lr in get_hyperparameters(state).items() if path.split(".")[-1] == "lr"}
