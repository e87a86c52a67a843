"""A case of the battery: how to make an optimizer, and which properties it has."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import torch

from funcdl import optim

SHAPES = MappingProxyType({"scalar": (), "empty": (0, 3), "one": (1,), "matrix": (5, 3)})
NONE = MappingProxyType({})


class Case(NamedTuple):
    make: Callable[[], optim.Transformation]  # with hyperparameters that make every branch count
    descend: Callable[[float], optim.Transformation]  # a whole optimizer, from a learning rate
    quadratic: float  # learning rates with which it converges
    rosenbrock: float
    shapes: Mapping[str, tuple[int, ...]] = SHAPES  # other shapes under the same names, if it takes matrices only
    point: tuple[int, ...] = (2,)  # the shape of a point in the plane, for the same reason
    own_dtypes: Mapping[str, torch.dtype] = NONE  # buffers that have a dtype of their own
    inner_steps: int = 3  # updates of a wrapped optimizer in three of the whole
    idle: tuple[str, ...] = ("weight_decay",)  # hyperparameters that must be 0 for zero gradients to change nothing
    by_place: tuple[str, ...] = ()  # hyperparameters that must be 0 for the order of leaves not to matter
    tolerance: Mapping[str, float] = NONE  # of compiled and vmapped results, if not that of float64
    nan: Literal["element", "unit", "leaf", "tree", "nothing"] = "element"  # what one NaN in the gradients makes NaN
    takes_complex: bool = True  # else it refuses them by name
    asks_shape: bool = False  # whether the shape of a leaf matters, so that a complex one is not the pair of its parts


def followed_by_lr(transformation):
    return lambda lr: optim.chain(transformation, optim.scale_by_learning_rate(lr))
