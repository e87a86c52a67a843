"""The error of a line, its gradient by differences and by hand, and the step of gradient descent."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from funcdl import optim, tree

ValueAndGrad = Callable[[tree.Tree, tree.Tree], tuple[Tensor, tree.Tree]]


def total(values: Tensor) -> Tensor:
    """The sum in the order of the readings: in float32 the last of the book's digits depend on it."""
    return functools.reduce(torch.add, values.unbind())


def finite_difference(x: Tensor, y: Tensor, delta: float = 0.1) -> ValueAndGrad:
    """The gradient from two losses for each parameter, exact for a parabola but for rounding."""

    def value_and_grad(params: tree.Tree, _: tree.Tree) -> tuple[Tensor, tree.Tree]:
        def slope(name: str) -> Tensor:
            up, down = ({**params, name: params[name] + step} for step in (delta, -delta))
            return (loss(up, x, y) - loss(down, x, y)) / (2 * delta)

        return loss(params, x, y), {name: slope(name) for name in params}

    return value_and_grad


def manual(x: Tensor, y: Tensor) -> ValueAndGrad:
    """The gradient by the chain rule: d loss / d prediction, times d prediction / d parameter."""

    def value_and_grad(params: tree.Tree, _: tree.Tree) -> tuple[Tensor, tree.Tree]:
        error = params["w"] * x + params["b"] - y
        slope = 2 * error / len(x)
        return total(error**2) / len(x), {"w": total(slope * x), "b": total(slope)}

    return value_and_grad


def loss(params: tree.Tree, x: Tensor, y: Tensor) -> Tensor:
    """The mean squared error of the line."""
    return total((params["w"] * x + params["b"] - y) ** 2) / len(x)


def rate_times_gradient(lr: float) -> optim.Transformation:
    """What `optim.sgd(lr)` is: an optimizer without a state."""
    return optim.Transformation(
        lambda params: {}, lambda g, state, params, **_: (tree.map(lambda d: -lr * d, g), state)
    )
