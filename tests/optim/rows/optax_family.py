"""The optimizers that optax has and torch has not, and their parts, as two families."""

import torch

from funcdl import optim, random
from tests.optim.rows.row import Row, followed_by_lr

QUIET = ("weight_decay", "eta")
WEIGHTS = {"weight_sum": torch.float64, "lr_max": torch.float64}

SCALED_ROWS = {
    "adabelief": Row(lambda: optim.adabelief(eps=1e-8, eps_root=1e-8, nesterov=True), optim.adabelief, 0.05, 0.02),
    "adan": Row(lambda: optim.adan(weight_decay=0.1), optim.adan, 0.05, 0.02),
    "lamb": Row(lambda: optim.lamb(weight_decay=0.1), optim.lamb, 0.01, 0.01, nan="leaf"),
    "lars": Row(
        lambda: optim.lars(weight_decay=0.1, nesterov=True),
        lambda lr: optim.lars(lr, trust_coefficient=0.1),
        0.01,
        0.01,
        nan="leaf",
    ),
    "novograd": Row(lambda: optim.novograd(weight_decay=0.1), optim.novograd, 0.005, 0.001, nan="leaf"),
    "scale_by_adan": Row(optim.scale_by_adan, followed_by_lr(optim.scale_by_adan()), 0.05, 0.02),
    "scale_by_belief": Row(optim.scale_by_belief, followed_by_lr(optim.scale_by_belief()), 0.05, 0.02),
    "scale_by_novograd": Row(
        optim.scale_by_novograd, followed_by_lr(optim.scale_by_novograd()), 0.005, 0.001, nan="leaf"
    ),
    "scale_by_trust_ratio": Row(
        lambda: optim.scale_by_trust_ratio(0.1, 0.01, 1e-3),
        followed_by_lr(optim.scale_by_trust_ratio()),
        0.01,
        0.02,
        nan="leaf",
    ),
    # Started at 0, since otherwise Yogi leans to one side, as it says, where gradients are zero.
    "scale_by_yogi": Row(
        lambda: optim.scale_by_yogi(initial_accumulator_value=0.0), followed_by_lr(optim.scale_by_yogi()), 0.05, 0.02
    ),
    "yogi": Row(lambda: optim.yogi(initial_accumulator_value=0.0), optim.yogi, 0.05, 0.02),
}

OTHER_ROWS = {
    "add_noise": Row(
        lambda: optim.add_noise(random.key(0)),
        followed_by_lr(optim.add_noise(random.key(0))),
        0.1,
        1e-3,
        idle=QUIET,
        by_place=("eta",),
        own_dtypes={"key": torch.uint64},
    ),
    "lion": Row(lambda: optim.lion(weight_decay=0.1), lambda lr: optim.lion(lr, weight_decay=1e-6), 0.01, 0.001),
    "noisy_sgd": Row(
        lambda: optim.noisy_sgd(random.key(1), 0.1),
        lambda lr: optim.noisy_sgd(random.key(1), lr),
        0.1,
        1e-3,
        idle=QUIET,
        by_place=("eta",),
        own_dtypes={"key": torch.uint64},
    ),
    "prodigy": Row(
        lambda: optim.prodigy(weight_decay=0.1, beta3=0.9, d0=1e-2),
        lambda lr: optim.prodigy(lr, d0=1e-2),
        1.0,
        0.03,
        own_dtypes={"d": torch.float64, "d_numerator": torch.float64},
        nan="tree",
    ),
    "sam": Row(
        lambda: optim.sam(optim.sgd(0.1, 0.9, weight_decay=0.1)),
        lambda lr: optim.sam(optim.sgd(lr, 0.9), rho=1e-3),
        0.05,
        1e-3,
        inner_steps=1,
        own_dtypes={"climbs": torch.int64},
    ),
    "scale_by_lion": Row(optim.scale_by_lion, followed_by_lr(optim.scale_by_lion()), 0.01, 0.001),
    "scale_by_sign": Row(optim.scale_by_sign, followed_by_lr(optim.scale_by_sign()), 0.005, 0.001),
    "scale_by_unbiased_rms": Row(
        optim.scale_by_unbiased_rms, followed_by_lr(optim.scale_by_unbiased_rms()), 0.05, 0.01
    ),
    "schedule_free": Row(lambda: optim.schedule_free(0.1), optim.schedule_free, 0.1, 1e-3, own_dtypes=WEIGHTS),
    "schedule_free_adamw": Row(
        lambda: optim.schedule_free_adamw(0.1, weight_decay=0.1),
        optim.schedule_free_adamw,
        0.1,
        0.03,
        own_dtypes=WEIGHTS,
    ),
    "schedule_free_sgd": Row(
        lambda: optim.schedule_free_sgd(0.1, weight_decay=0.1), optim.schedule_free_sgd, 0.1, 1e-3, own_dtypes=WEIGHTS
    ),
    "sign_sgd": Row(optim.sign_sgd, optim.sign_sgd, 0.005, 0.001),
}

FAMILIES = {"optax_scaled": SCALED_ROWS, "optax_other": OTHER_ROWS}
