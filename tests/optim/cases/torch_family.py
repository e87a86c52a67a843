"""The other optimizers of torch.optim, and their transformations."""

import torch

from funcdl import optim
from tests.optim.cases.case import Case, followed_by_lr

CLASSIC = {
    "adagrad": Case(
        lambda: optim.adagrad(lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.2), optim.adagrad, 0.5, 0.5
    ),
    "asgd": Case(
        lambda: optim.asgd(0.1, lambd=0.2, t0=1, weight_decay=0.1),
        lambda lr: optim.asgd(lr, lambd=1e-6),
        0.1,
        1e-3,
        idle=("weight_decay", "lambd"),
    ),
    "average_params": Case(optim.average_params, followed_by_lr(optim.average_params()), 0.1, 1e-3),
    "rmsprop": Case(
        lambda: optim.rmsprop(momentum=0.5, centered=True, weight_decay=0.1),
        lambda lr: optim.rmsprop(lr, centered=True),
        0.005,
        1e-3,
    ),
    "rprop": Case(optim.rprop, optim.rprop, 0.1, 0.01, nan="nothing"),
    "scale_by_adagrad": Case(optim.scale_by_adagrad, followed_by_lr(optim.scale_by_adagrad()), 0.5, 0.5),
    "scale_by_asgd": Case(
        lambda: optim.scale_by_asgd(lambd=0.1),
        lambda lr: optim.scale_by_asgd(lr, lambd=1e-6),
        0.1,
        1e-3,
        idle=("lambd",),
    ),
    "scale_by_inverse_time": Case(
        lambda: optim.scale_by_inverse_time(0.5), followed_by_lr(optim.scale_by_inverse_time(1e-3)), 0.1, 1e-3
    ),
    "scale_by_rmsprop": Case(optim.scale_by_rmsprop, followed_by_lr(optim.scale_by_rmsprop()), 0.005, 1e-3),
    "scale_by_rprop": Case(optim.scale_by_rprop, optim.scale_by_rprop, 0.1, 0.01, nan="nothing"),
}

MU_PRODUCT = {"mu_product": torch.float64}

ADAMS = {
    "adamax": Case(lambda: optim.adamax(weight_decay=0.1), optim.adamax, 0.05, 0.02),
    "nadam": Case(
        lambda: optim.nadam(weight_decay=0.1, decoupled_weight_decay=True),
        optim.nadam,
        0.05,
        0.02,
        own_dtypes=MU_PRODUCT,
    ),
    "radam": Case(lambda: optim.radam(betas=(0.5, 0.9), weight_decay=0.1), optim.radam, 0.05, 1e-3),
    "scale_by_adamax": Case(optim.scale_by_adamax, followed_by_lr(optim.scale_by_adamax()), 0.05, 0.02),
    "scale_by_nadam": Case(
        optim.scale_by_nadam, followed_by_lr(optim.scale_by_nadam()), 0.05, 0.02, own_dtypes=MU_PRODUCT
    ),
    "scale_by_radam": Case(
        lambda: optim.scale_by_radam(betas=(0.5, 0.9)), followed_by_lr(optim.scale_by_radam()), 0.05, 1e-3
    ),
}

FACTORED = {
    "adafactor": Case(
        lambda: optim.adafactor(weight_decay=0.1), optim.adafactor, 0.05, 0.05, nan="leaf", takes_complex=False
    ),
    "clip_by_block_rms": Case(
        optim.clip_by_block_rms, followed_by_lr(optim.clip_by_block_rms()), 0.1, 1e-3, nan="leaf"
    ),
    "lbfgs": Case(
        lambda: optim.lbfgs(history_size=3),
        lambda lr: optim.lbfgs(lr, history_size=5),
        1.0,
        0.03,
        own_dtypes={"products": torch.float64},
        nan="tree",
    ),
    "scale_by_factored_rms": Case(
        optim.scale_by_factored_rms,
        followed_by_lr(optim.scale_by_factored_rms()),
        0.02,
        1e-3,
        nan="leaf",
        takes_complex=False,
    ),
    "scale_by_lbfgs": Case(
        lambda: optim.scale_by_lbfgs(history_size=3),
        lambda lr: optim.scale_by_lbfgs(lr, history_size=5),
        1.0,
        0.03,
        own_dtypes={"products": torch.float64},
        nan="tree",
    ),
    "scale_by_param_block_rms": Case(
        optim.scale_by_param_block_rms, followed_by_lr(optim.scale_by_param_block_rms(0.5)), 0.1, 1.5e-3, nan="leaf"
    ),
    "scale_by_relative_step": Case(
        lambda: optim.scale_by_relative_step(0.8, weight_decay=0.1), optim.scale_by_relative_step, 0.1, 1e-3
    ),
}

MATRICES = {"scalar": (1, 1), "empty": (0, 3), "one": (4, 1), "matrix": (5, 3)}
BFLOAT16 = {"rtol": 0.02, "atol": 0.02}  # in which Muon's iteration runs, whatever the parameters are
MILD = (1.5, -0.5, 0.0)  # coefficients that do not enlarge its rounding as much as the default ones do

MUON = {
    "average_gradients": Case(
        lambda: optim.average_gradients(nesterov=True), followed_by_lr(optim.average_gradients()), 0.05, 1e-3
    ),
    "muon": Case(
        lambda: optim.muon(ns_coefficients=MILD, ns_steps=2),
        lambda lr: optim.muon(lr, weight_decay=0.0),
        0.01,
        2e-3,
        shapes=MATRICES,
        point=(1, 2),
        tolerance=BFLOAT16,
        nan="leaf",
        takes_complex=False,
    ),
    "orthogonalize": Case(
        lambda: optim.orthogonalize(MILD, ns_steps=2),
        followed_by_lr(optim.orthogonalize()),
        0.01,
        2e-3,
        shapes=MATRICES,
        point=(1, 2),
        tolerance=BFLOAT16,
        nan="leaf",
        takes_complex=False,
    ),
    "scale_by_shape": Case(
        lambda: optim.scale_by_shape("match_rms_adamw"),
        followed_by_lr(optim.scale_by_shape()),
        0.1,
        1e-3,
        shapes=MATRICES,
        point=(2, 1),
        takes_complex=False,
    ),
}

FAMILIES = {"classic": CLASSIC, "adams": ADAMS, "factored": FACTORED, "muon": MUON}
