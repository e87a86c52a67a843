"""What the battery has to know of an optimizer."""

from collections.abc import Callable
from typing import NamedTuple

from funcdl import optim


class Row(NamedTuple):
    make: Callable[[], optim.Transformation]  # with numbers that make every branch count
    descend: Callable[[float], optim.Transformation]  # a whole optimizer, from a learning rate
    quadratic: float  # learning rates with which it converges
    rosenbrock: float


def followed_by_lr(part):
    return lambda lr: optim.chain(part, optim.scale_by_learning_rate(lr))
