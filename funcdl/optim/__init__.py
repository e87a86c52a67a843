"""Optimizers as pure functions: `state = o.init(params)`, `updates, state = o.update(grads, state, params)`."""

from funcdl.optim import schedules
from funcdl.optim.adadelta import adadelta, scale_by_adadelta
from funcdl.optim.adam import adam, adamw, scale_by_adam
from funcdl.optim.clipping import clip_by_global_norm
from funcdl.optim.hyperparameters import State, get_hyperparameters, replace_hyperparameters
from funcdl.optim.parts import add_decayed_weights, scale_by_learning_rate
from funcdl.optim.sgd import sgd, trace
from funcdl.optim.transformation import Transformation, apply_updates, chain, part

__all__ = [
    "State",
    "Transformation",
    "adadelta",
    "adam",
    "adamw",
    "add_decayed_weights",
    "apply_updates",
    "chain",
    "clip_by_global_norm",
    "get_hyperparameters",
    "part",
    "replace_hyperparameters",
    "scale_by_adadelta",
    "scale_by_adam",
    "scale_by_learning_rate",
    "schedules",
    "sgd",
    "trace",
]
