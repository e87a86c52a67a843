"""The optimizers that optax has and torch has not, and their transformations, as two families."""

import torch

from funcdl import optim, random
from tests.optim.cases.case import Case, followed_by_lr

QUIET = ("weight_decay", "eta")
WEIGHTS = {"weight_sum": torch.float64, "lr_max": torch.float64}

SCALED_CASES = {
    "adabelief": Case(lambda: optim.adabelief(eps=1e-8, eps_root=1e-8, nesterov=True), optim.adabelief, 0.05, 0.02),
    "adan": Case(lambda: optim.adan(weight_decay=0.1), optim.adan, 0.05, 0.02),
    "lamb": Case(lambda: optim.lamb(weight_decay=0.1), optim.lamb, 0.01, 0.01, nan="leaf"),
    "lars": Case(
        lambda: optim.lars(weight_decay=0.1, nesterov=True),
        lambda lr: optim.lars(lr, trust_coefficient=0.1),
        0.01,
        0.01,
        nan="leaf",
    ),
    "novograd": Case(lambda: optim.novograd(weight_decay=0.1), optim.novograd, 0.005, 0.001, nan="leaf"),
    "scale_by_adan": Case(optim.scale_by_adan, followed_by_lr(optim.scale_by_adan()), 0.05, 0.02),
    "scale_by_belief": Case(optim.scale_by_belief, followed_by_lr(optim.scale_by_belief()), 0.05, 0.02),
    "scale_by_novograd": Case(
        optim.scale_by_novograd, followed_by_lr(optim.scale_by_novograd()), 0.005, 0.001, nan="leaf"
    ),
    "scale_by_trust_ratio": Case(
        lambda: optim.scale_by_trust_ratio(0.1, 0.01, 1e-3),
        followed_by_lr(optim.scale_by_trust_ratio()),
        0.01,
        0.02,
        nan="leaf",
    ),
    # Started at 0, since otherwise Yogi leans to one side, as it says, where gradients are zero.
    "scale_by_yogi": Case(
        lambda: optim.scale_by_yogi(initial_accumulator_value=0.0), followed_by_lr(optim.scale_by_yogi()), 0.05, 0.02
    ),
    "yogi": Case(lambda: optim.yogi(initial_accumulator_value=0.0), optim.yogi, 0.05, 0.02),
}

OTHER_CASES = {
    "add_noise": Case(
        lambda: optim.add_noise(random.key(0)),
        followed_by_lr(optim.add_noise(random.key(0))),
        0.1,
        1e-3,
        idle=QUIET,
        by_place=("eta",),
        own_dtypes={"key": torch.uint64},
    ),
    "lion": Case(lambda: optim.lion(weight_decay=0.1), lambda lr: optim.lion(lr, weight_decay=1e-6), 0.01, 0.001),
    "noisy_sgd": Case(
        lambda: optim.noisy_sgd(random.key(1), 0.1),
        lambda lr: optim.noisy_sgd(random.key(1), lr),
        0.1,
        1e-3,
        idle=QUIET,
        by_place=("eta",),
        own_dtypes={"key": torch.uint64},
    ),
    "prodigy": Case(
        lambda: optim.prodigy(weight_decay=0.1, beta3=0.9, d0=1e-2),
        lambda lr: optim.prodigy(lr, d0=1e-2),
        1.0,
        0.03,
        own_dtypes={"d": torch.float64, "d_numerator": torch.float64},
        nan="tree",
    ),
    "sam": Case(
        lambda: optim.sam(optim.sgd(0.1, 0.9, weight_decay=0.1)),
        lambda lr: optim.sam(optim.sgd(lr, 0.9), rho=1e-3),
        0.05,
        1e-3,
        inner_steps=1,
        own_dtypes={"steps_since_sync": torch.int64},
    ),
    "scale_by_lion": Case(optim.scale_by_lion, followed_by_lr(optim.scale_by_lion()), 0.01, 0.001),
    "scale_by_sign": Case(optim.scale_by_sign, followed_by_lr(optim.scale_by_sign()), 0.005, 0.001),
    "scale_by_unbiased_rms": Case(
        optim.scale_by_unbiased_rms, followed_by_lr(optim.scale_by_unbiased_rms()), 0.05, 0.01
    ),
    "schedule_free": Case(lambda: optim.schedule_free(0.1), optim.schedule_free, 0.1, 1e-3, own_dtypes=WEIGHTS),
    "schedule_free_adamw": Case(
        lambda: optim.schedule_free_adamw(0.1, weight_decay=0.1),
        optim.schedule_free_adamw,
        0.1,
        0.03,
        own_dtypes=WEIGHTS,
    ),
    "schedule_free_sgd": Case(
        lambda: optim.schedule_free_sgd(0.1, weight_decay=0.1), optim.schedule_free_sgd, 0.1, 1e-3, own_dtypes=WEIGHTS
    ),
    "sign_sgd": Case(optim.sign_sgd, optim.sign_sgd, 0.005, 0.001),
}

FAMILIES = {"optax_scaled": SCALED_CASES, "optax_other": OTHER_CASES}
