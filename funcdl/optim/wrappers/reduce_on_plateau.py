"""Reduction of the learning rate when the loss stops improving."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from funcdl.optim.hyperparameters import (
    Count,
    Scalar,
    ScalarOrSchedule,
    check_hyperparameter,
    check_integer,
    check_nonnegative,
)
from funcdl.optim.schedules.validation import check_choice
from funcdl.optim.state import get_hyperparameters, replace_hyperparameters, zero_scalar
from funcdl.optim.transformation import Transformation, check_is_transformation, inner_update, with_cast_updates
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.optim.wrappers.conditional import WrapperState, check_wrapper_state
from funcdl.tree import Tree


def reduce_on_plateau(
    optimizer: Transformation,
    mode: Literal["min", "max"] = "min",
    factor: ScalarOrSchedule = 0.1,
    patience: ScalarOrSchedule = 10,
    threshold: ScalarOrSchedule = 1e-4,
    threshold_mode: Literal["rel", "abs"] = "rel",
    cooldown: ScalarOrSchedule = 0,
    min_lr: ScalarOrSchedule = 0.0,
    eps: ScalarOrSchedule = 1e-8,
) -> Transformation:
    """Multiplies each `lr` of an optimizer by `factor` when the loss has not improved for some time.

    The loss is passed as `update(grads, state, params, value=loss)`, as `train.make_step` does. A new rate takes effect
    at the next update. `patience` counts updates, not epochs.

    Args:
        optimizer: the optimizer. Its learning rates are floats or tensors, because a schedule would overwrite them.
        mode: whether `value` is to be minimized or maximized.
        factor: the factor of each reduction, in [0, 1).
        patience: how many updates without improvement are allowed, an integer, at least 0.
        threshold: how much better than the best loss a loss has to be to count as an improvement, at least 0.
        threshold_mode: whether `threshold` is relative to the best loss or absolute.
        cooldown: how many updates after a reduction are ignored, an integer, at least 0.
        min_lr: the lowest learning rate, at least 0.
        eps: reductions by this or less are skipped, at least 0.

    Returns:
        A transformation with the hyperparameters `wrapper.factor` and so on, and those of `optimizer`, such as
        `optimizer.1.lr`.

    Raises:
        ValueError: a hyperparameter is out of range; the optimizer has no `lr`, or a schedule governs it.

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
    hyperparameters = {
        "factor": check_hyperparameter("reduce_on_plateau", "factor", factor, high=1.0),
        "patience": check_integer("reduce_on_plateau", "patience", patience, low=0),
        **check_nonnegative("reduce_on_plateau", threshold=threshold),
        "cooldown": check_integer("reduce_on_plateau", "cooldown", cooldown, low=0),
        **check_nonnegative("reduce_on_plateau", min_lr=min_lr, eps=eps),
    }
    check_choice("reduce_on_plateau", "mode", mode, ["min", "max"])
    check_choice("reduce_on_plateau", "threshold_mode", threshold_mode, ["rel", "abs"])
    sign = 1 if mode == "min" else -1

    def init_buffers(params: Tree) -> Buffers:
        zero = zero_scalar(params, torch.int64)
        return {
            "best": zero_scalar(params) + sign * math.inf,
            "bad_updates": zero,
            "cooldown_left": zero.clone(),
            "reduces": zero > 0,
        }

    def watch(
        grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count, *, value: Tensor
    ) -> tuple[Tree, dict]:
        value, best = torch.as_tensor(value, device=count.device).double(), buffers["best"]
        better = best * (1 - sign * hyper["threshold"]) if threshold_mode == "rel" else best - sign * hyper["threshold"]
        improved = value < better if mode == "min" else value > better
        cooling = buffers["cooldown_left"] > 0
        bad = torch.where(improved | cooling, 0, buffers["bad_updates"] + 1)
        reduces = bad > hyper["patience"]
        return grads, {
            "best": torch.where(improved, value, best),
            "bad_updates": torch.where(reduces, 0, bad),
            "cooldown_left": torch.where(reduces, hyper["cooldown"].long(), buffers["cooldown_left"] - cooling.long()),
            "reduces": reduces,
        }

    watcher = make_transformation(
        "reduce_on_plateau", hyperparameters, init_buffers, watch, needs=("value",), as_real=False
    )

    def init(params: Tree) -> WrapperState:
        state = optimizer.init(params)
        if not _learning_rates(state):
            raise ValueError(
                "reduce_on_plateau: the optimizer has no hyperparameter 'lr' to reduce; pass one that has it, such as "
                "adam()"
            )
        return WrapperState(watcher.init(params), state)

    def update(grads: Tree, state: WrapperState, params: Tree = None, **extra: Any) -> tuple[Tree, WrapperState]:
        check_wrapper_state("reduce_on_plateau", state)
        _, wrapper = watcher.update(grads, state.wrapper, params, **extra)
        owner = "reduce_on_plateau: the optimizer's update"
        updates, optimizer_state = inner_update(owner, optimizer, grads, state.optimizer, params, extra)
        old, hyper, reduced = _learning_rates(state.optimizer), wrapper.hyperparameters, {}
        for path, lr in _learning_rates(optimizer_state).items():
            if lr is not old[path]:  # without a schedule, an update returns the same tensor
                raise ValueError(
                    f"reduce_on_plateau: '{path}' has a schedule, which would undo each reduction; make the optimizer "
                    "with a float"
                )
            new = torch.maximum(lr * hyper["factor"], hyper["min_lr"])
            reduced[path] = torch.where(wrapper.buffers["reduces"] & (lr - new > hyper["eps"]), new, lr)
        return updates, WrapperState(wrapper, replace_hyperparameters(optimizer_state, reduced))

    return with_cast_updates(init, update)


def _learning_rates(state: Tree) -> dict[str, Scalar]:
    return {path: lr for path, lr in get_hyperparameters(state).items() if path.split(".")[-1] == "lr"}
