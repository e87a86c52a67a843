"""Optimizers as pure functions: `state = o.init(params)`, `updates, state = o.update(grads, state, params)`."""

from funcdl.optim import schedules
from funcdl.optim.adabelief import adabelief, scale_by_belief
from funcdl.optim.adadelta import adadelta, scale_by_adadelta
from funcdl.optim.adafactor import (
    adafactor,
    clip_by_block_rms,
    scale_by_factored_rms,
    scale_by_param_block_rms,
    scale_by_relative_step,
)
from funcdl.optim.adagrad import adagrad, scale_by_adagrad, scale_by_inverse_time
from funcdl.optim.adam import adam, adamw, scale_by_adam
from funcdl.optim.adamax import adamax, scale_by_adamax
from funcdl.optim.adan import adan, scale_by_adan
from funcdl.optim.asgd import asgd, average_params, scale_by_asgd
from funcdl.optim.centralize import centralize
from funcdl.optim.clipping import adaptive_gradient_clip, clip_by_global_norm, clip_by_norm, clip_by_value
from funcdl.optim.lamb import lamb
from funcdl.optim.lars import lars
from funcdl.optim.lbfgs import lbfgs, scale_by_lbfgs
from funcdl.optim.learning_rate import scale_by_learning_rate
from funcdl.optim.lion import lion, scale_by_lion
from funcdl.optim.momentum import average_gradients, trace
from funcdl.optim.muon import muon, orthogonalize, scale_by_shape
from funcdl.optim.nadam import nadam, scale_by_nadam
from funcdl.optim.noisy_sgd import add_noise, noisy_sgd
from funcdl.optim.novograd import novograd, scale_by_novograd
from funcdl.optim.prodigy import prodigy
from funcdl.optim.radam import radam, scale_by_radam
from funcdl.optim.rmsprop import rmsprop, scale_by_rmsprop
from funcdl.optim.rprop import rprop, scale_by_rprop
from funcdl.optim.schedule_free import (
    scale_by_unbiased_rms,
    schedule_free,
    schedule_free_adamw,
    schedule_free_eval_params,
    schedule_free_sgd,
)
from funcdl.optim.sgd import sgd
from funcdl.optim.sign_sgd import scale_by_sign, sign_sgd
from funcdl.optim.state import State, get_hyperparameters, replace_hyperparameters
from funcdl.optim.transformation import Transformation, apply_updates, chain
from funcdl.optim.trust_ratio import scale_by_trust_ratio
from funcdl.optim.update_rule import make_transformation, stateless
from funcdl.optim.weight_decay import add_decayed_weights
from funcdl.optim.wrappers.apply_if_finite import apply_if_finite
from funcdl.optim.wrappers.averaging import averaged_params, ema, params_ema, swa
from funcdl.optim.wrappers.flatten import flatten
from funcdl.optim.wrappers.lookahead import lookahead, slow_params
from funcdl.optim.wrappers.masked import freeze, masked
from funcdl.optim.wrappers.multi_steps import multi_steps
from funcdl.optim.wrappers.partition import partition
from funcdl.optim.wrappers.reduce_on_plateau import reduce_on_plateau
from funcdl.optim.wrappers.sam import sam, sam_eval_params
from funcdl.optim.yogi import scale_by_yogi, yogi
from funcdl.optim.zero_nans import zero_nans

__all__ = [
    "State",
    "Transformation",
    "adabelief",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "adan",
    "adaptive_gradient_clip",
    "add_decayed_weights",
    "add_noise",
    "apply_if_finite",
    "apply_updates",
    "asgd",
    "average_gradients",
    "average_params",
    "averaged_params",
    "centralize",
    "chain",
    "clip_by_block_rms",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_value",
    "ema",
    "flatten",
    "freeze",
    "get_hyperparameters",
    "lamb",
    "lars",
    "lbfgs",
    "lion",
    "lookahead",
    "make_transformation",
    "masked",
    "multi_steps",
    "muon",
    "nadam",
    "noisy_sgd",
    "novograd",
    "orthogonalize",
    "params_ema",
    "partition",
    "prodigy",
    "radam",
    "reduce_on_plateau",
    "replace_hyperparameters",
    "rmsprop",
    "rprop",
    "sam",
    "sam_eval_params",
    "scale_by_adadelta",
    "scale_by_adagrad",
    "scale_by_adam",
    "scale_by_adamax",
    "scale_by_adan",
    "scale_by_asgd",
    "scale_by_belief",
    "scale_by_factored_rms",
    "scale_by_inverse_time",
    "scale_by_lbfgs",
    "scale_by_learning_rate",
    "scale_by_lion",
    "scale_by_nadam",
    "scale_by_novograd",
    "scale_by_param_block_rms",
    "scale_by_radam",
    "scale_by_relative_step",
    "scale_by_rmsprop",
    "scale_by_rprop",
    "scale_by_shape",
    "scale_by_sign",
    "scale_by_trust_ratio",
    "scale_by_unbiased_rms",
    "scale_by_yogi",
    "schedule_free",
    "schedule_free_adamw",
    "schedule_free_eval_params",
    "schedule_free_sgd",
    "schedules",
    "sgd",
    "sign_sgd",
    "slow_params",
    "stateless",
    "swa",
    "trace",
    "yogi",
    "zero_nans",
]
