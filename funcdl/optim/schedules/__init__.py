"""Schedules: hyperparameters as pure functions of the number of updates done before.

A schedule takes a 0-dim int64 tensor (0 at the first update) and returns a 0-dim float64 tensor on its device. It can
be any hyperparameter of any optimizer: `optim.adam(lr=optim.schedules.cosine(1e-3, T_max=100))`. Any such function is a
schedule, so that torch's `LambdaLR` is not needed. A schedule that depends on the loss needs a state and is therefore a
wrapper, `optim.reduce_on_plateau`.
"""

from funcdl.optim.schedules.composition import join, product, warm_up
from funcdl.optim.schedules.cycles import cosine_restarts, cyclic, one_cycle, one_cycle_momentum
from funcdl.optim.schedules.decays import (
    constant,
    cosine,
    exponential,
    inverse_time,
    linear,
    multi_step,
    polynomial,
    step,
)
from funcdl.optim.schedules.interpolation import piecewise

__all__ = [
    "constant",
    "cosine",
    "cosine_restarts",
    "cyclic",
    "exponential",
    "inverse_time",
    "join",
    "linear",
    "multi_step",
    "one_cycle",
    "one_cycle_momentum",
    "piecewise",
    "polynomial",
    "product",
    "step",
    "warm_up",
]
