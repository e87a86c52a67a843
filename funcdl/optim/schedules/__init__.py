"""Numbers that change from update to update: pure functions of the number of updates done before.

A schedule takes a 0-dim int64 tensor (0 at the first update) and returns a 0-dim float64 tensor on its device. It can
stand for any number of any optimizer: `optim.adam(lr=optim.schedules.cosine(1e-3, T_max=100))`. A function of your own
will do as well, which is what torch's `LambdaLR` is for. The schedule that watches the loss is a wrapper,
`optim.reduce_on_plateau`, since it has something to remember.
"""

from funcdl.optim.schedules.combined import join, product, warm_up
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
from funcdl.optim.schedules.pieces import piecewise

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
