"""Clipping and other transformations of gradients, wrappers of optimizers, averages of parameters."""

import torch

from funcdl import optim
from tests.optim.cases.case import Case, followed_by_lr


def inner(lr=0.1):
    return optim.chain(optim.trace(0.9), optim.scale_by_learning_rate(lr))


def groups(lr=0.1):
    return {"matrices": inner(lr), "others": optim.scale_by_learning_rate(lr)}


def is_small(path, leaf):
    return leaf.numel() <= 2


def is_large(path, leaf):
    return leaf.numel() > 2


def by_shape(path, leaf):
    return "matrices" if leaf.numel() > 2 else "others"


def all_in_one(lr):
    return optim.partition({"all": inner(lr)}, {"*": "all"})


GRADIENTS = {
    "adaptive_gradient_clip": Case(
        lambda: optim.adaptive_gradient_clip(0.1),
        followed_by_lr(optim.adaptive_gradient_clip(10.0)),
        0.1,
        1e-3,
        nan="unit",
        asks_shape=True,
    ),
    "centralize": Case(optim.centralize, followed_by_lr(optim.centralize()), 0.1, 1e-3, nan="unit", asks_shape=True),
    "clip_by_norm": Case(
        lambda: optim.clip_by_norm(0.5), followed_by_lr(optim.clip_by_norm(1.0)), 0.1, 1e-3, nan="leaf"
    ),
    "clip_by_value": Case(lambda: optim.clip_by_value(0.5), followed_by_lr(optim.clip_by_value(1.0)), 0.1, 1e-3),
    "ema": Case(
        lambda: optim.ema(0.9), followed_by_lr(optim.ema(0.9)), 0.1, 1e-3, own_dtypes={"weight": torch.float64}
    ),
    "flatten": Case(lambda: optim.flatten(inner(), below=10), lambda lr: optim.flatten(inner(lr)), 0.05, 3e-4),
    "freeze": Case(
        lambda: optim.freeze(is_small),
        all_in_one,  # with a frozen point there is no descent
        0.05,
        3e-4,
    ),
    "zero_nans": Case(
        optim.zero_nans, followed_by_lr(optim.zero_nans()), 0.1, 1e-3, own_dtypes={"nans": torch.int64}, nan="nothing"
    ),
}

WRAPPERS = {
    "apply_if_finite": Case(
        lambda: optim.apply_if_finite(inner(), 2),
        lambda lr: optim.apply_if_finite(inner(lr), 2),
        0.05,
        3e-4,
        own_dtypes={"notfinite_count": torch.int64, "total_notfinite": torch.int64, "last_finite": torch.bool},
        nan="nothing",
    ),
    "lookahead": Case(
        lambda: optim.lookahead(inner(), 2, 0.5), lambda lr: optim.lookahead(inner(lr), 2, 0.8), 0.05, 3e-4
    ),
    "masked": Case(
        lambda: optim.masked(inner(), is_large),
        lambda lr: optim.masked(inner(lr), "*"),
        0.05,
        3e-4,
    ),
    "multi_steps": Case(
        lambda: optim.multi_steps(inner(), 2),
        lambda lr: optim.multi_steps(inner(lr), 2),
        0.05,
        5e-4,
        own_dtypes={"mini_step": torch.int64},
        inner_steps=1,
    ),
    "params_ema": Case(
        lambda: optim.chain(inner(), optim.params_ema(0.9)),
        lambda lr: optim.chain(inner(lr), optim.params_ema(0.9)),
        0.05,
        3e-4,
        own_dtypes={"weight": torch.float64},
    ),
    "partition": Case(lambda: optim.partition(groups(), by_shape), all_in_one, 0.05, 3e-4),
    "reduce_on_plateau": Case(
        lambda: optim.reduce_on_plateau(inner(), patience=0),
        lambda lr: optim.reduce_on_plateau(inner(lr), patience=100),
        0.05,
        3e-4,
        own_dtypes={
            "best": torch.float64,
            "bad_updates": torch.int64,
            "cooldown_left": torch.int64,
            "reduces": torch.bool,
        },
    ),
    "swa": Case(
        lambda: optim.chain(inner(), optim.swa(2, 2)),
        lambda lr: optim.chain(inner(lr), optim.swa(2, 2)),
        0.05,
        3e-4,
        own_dtypes={"n_averaged": torch.int64},
    ),
}

FAMILIES = {"gradients": GRADIENTS, "wrappers": WRAPPERS}
