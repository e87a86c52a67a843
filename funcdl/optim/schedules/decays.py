"""Schedules with one formula: constant, linear, polynomial, exponential, stepwise, inverse time, cosine."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from funcdl.optim.hyperparameters import Scalar, Schedule
from funcdl.optim.safe_math import safe_power
from funcdl.optim.schedules.validation import check_increasing, check_number, check_steps


def constant(lr: float | Tensor, factor: float = 1.0, total_iters: int = 0) -> Schedule:
    """A constant, multiplied by `factor` during the first `total_iters` updates.

    Args:
        lr: the constant, which may be negative.
        factor: factor at first, in [0, 1].
        total_iters: for how many updates.

    Raises:
        ValueError: an argument is out of range.

    >>> constant(0.1)(torch.tensor(7))
    tensor(0.1000, dtype=torch.float64)

    With `factor` and `total_iters` it equals `torch.optim.lr_scheduler.ConstantLR`, whose defaults are 1/3 and 5.
    """
    check_number("constant", "lr", lr, low=-math.inf)
    check_number("constant", "factor", factor, high=1.0, open=False)
    check_steps("constant", "total_iters", total_iters, low=0)

    def value(step: Int[Tensor, ""]) -> Scalar:
        return lr * (factor + (1 - factor) * (step >= total_iters).double())

    return value


def linear(lr: float | Tensor, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5) -> Schedule:
    """Linear from `start_factor lr` at step 0 to `end_factor lr` at step `total_iters`, and constant after that.

    Args:
        lr: the value that the factors multiply.
        start_factor: the factor at step 0, at least 0.
        end_factor: the factor at step `total_iters` and beyond, at least 0.
        total_iters: steps from one to the other, at least 1.

    Raises:
        ValueError: an argument is out of range.

    >>> rising = linear(0.1, start_factor=0.0, total_iters=10)
    >>> [round(float(rising(torch.tensor(step))), 3) for step in (0, 5, 10, 20)]
    [0.0, 0.05, 0.1, 0.1]

    Equals `torch.optim.lr_scheduler.LinearLR`, which refuses factors above 1 and a `start_factor` of 0.
    """
    check_number("linear", "lr", lr)
    check_number("linear", "start_factor", start_factor)
    check_number("linear", "end_factor", end_factor)
    check_steps("linear", "total_iters", total_iters)

    def value(step: Int[Tensor, ""]) -> Scalar:
        return lr * (start_factor + (end_factor - start_factor) * step.double().clamp(max=total_iters) / total_iters)

    return value


def polynomial(lr: float | Tensor, total_iters: int = 5, power: float = 1.0) -> Schedule:
    """`lr (1 - step / total_iters) ^ power`, and 0 from step `total_iters` on.

    Args:
        lr: the value at step 0.
        total_iters: steps to 0, at least 1.
        power: exponent, at least 0.

    Raises:
        ValueError: an argument is out of range.

    >>> falling = polynomial(0.1, total_iters=10, power=2.0)
    >>> [round(float(falling(torch.tensor(step))), 3) for step in (0, 5, 10)]
    [0.1, 0.025, 0.0]

    Equals `torch.optim.lr_scheduler.PolynomialLR`.
    """
    check_number("polynomial", "lr", lr)
    check_steps("polynomial", "total_iters", total_iters)
    check_number("polynomial", "power", power)

    def value(step: Int[Tensor, ""]) -> Scalar:
        return lr * safe_power(1 - step.double().clamp(max=total_iters) / total_iters, power)

    return value


def exponential(lr: float | Tensor, gamma: float) -> Schedule:
    """`lr gamma ^ step`.

    Args:
        lr: the value at step 0.
        gamma: factor from step to step, at least 0.

    Raises:
        ValueError: an argument is out of range.

    >>> exponential(0.1, gamma=0.5)(torch.tensor(2))
    tensor(0.0250, dtype=torch.float64)

    Equals `torch.optim.lr_scheduler.ExponentialLR`.
    """
    check_number("exponential", "lr", lr)
    check_number("exponential", "gamma", gamma)

    def value(step: Int[Tensor, ""]) -> Scalar:
        return lr * gamma ** step.double()

    return value


def step(lr: float | Tensor, step_size: int, gamma: float = 0.1) -> Schedule:
    """Multiplied by `gamma` every `step_size` updates: `lr gamma ^ floor(step / step_size)`.

    Args:
        lr: the value at step 0.
        step_size: updates between two changes, at least 1.
        gamma: factor of each change, at least 0.

    Raises:
        ValueError: an argument is out of range.

    >>> falling = step(0.1, step_size=30, gamma=0.5)
    >>> [round(float(falling(torch.tensor(step))), 3) for step in (0, 29, 30, 60)]
    [0.1, 0.1, 0.05, 0.025]

    Equals `torch.optim.lr_scheduler.StepLR`.
    """
    check_number("step", "lr", lr)
    check_steps("step", "step_size", step_size)
    check_number("step", "gamma", gamma)

    def value(step: Int[Tensor, ""]) -> Scalar:
        return lr * gamma ** (step // step_size).double()

    return value


def multi_step(lr: float | Tensor, milestones: Sequence[int], gamma: float = 0.1) -> Schedule:
    """Multiplied by `gamma` at each milestone.

    Args:
        lr: the value at step 0.
        milestones: the steps at which it changes, increasing.
        gamma: factor of each change, at least 0.

    Raises:
        ValueError: an argument is out of range, or the milestones do not increase.

    >>> falling = multi_step(0.1, milestones=[30, 80], gamma=0.5)
    >>> [round(float(falling(torch.tensor(step))), 3) for step in (0, 29, 30, 80)]
    [0.1, 0.1, 0.05, 0.025]

    Equals `torch.optim.lr_scheduler.MultiStepLR`.
    """
    check_number("multi_step", "lr", lr)
    check_number("multi_step", "gamma", gamma)
    steps = check_increasing("multi_step", "milestones", milestones)

    def value(step: Int[Tensor, ""]) -> Scalar:
        passed = torch.zeros_like(step)
        for milestone in steps:
            passed = passed + (step >= milestone)
        return lr * gamma ** passed.double()

    return value


def inverse_time(lr: float | Tensor, gamma: float, power: float = 1.0) -> Schedule:
    """`lr / (1 + gamma step) ^ power`, slow enough a decay for stochastic gradient descent to converge.

    Args:
        lr: the value at step 0.
        gamma: decay per step, at least 0.
        power: at least 0; the theory asks for more than 1/2 and at most 1.

    Raises:
        ValueError: an argument is out of range.

    >>> inverse_time(0.1, gamma=0.5)(torch.tensor(2))
    tensor(0.0500, dtype=torch.float64)

    Robbins and Monro, "A Stochastic Approximation Method" (1951). With a power of 1 and `gamma = decay_rate /
    decay_steps` it equals `keras.optimizers.schedules.InverseTimeDecay`.
    """
    check_number("inverse_time", "lr", lr)
    check_number("inverse_time", "gamma", gamma)
    check_number("inverse_time", "power", power)

    def value(step: Int[Tensor, ""]) -> Scalar:
        return lr / (1 + gamma * step.double()) ** power

    return value


def cosine(lr: float | Tensor, T_max: int, eta_min: float = 0.0) -> Schedule:
    """Cosine annealing from `lr` at step 0 down to `eta_min` at step `T_max`; after that it rises again.

    `eta_min + (lr - eta_min) (1 + cos(pi step / T_max)) / 2`.

    Args:
        lr: the value at step 0.
        T_max: steps to the lowest value, at least 1.
        eta_min: the lowest value.

    Raises:
        ValueError: an argument is out of range.

    >>> halving = cosine(0.1, T_max=10)
    >>> [round(float(halving(torch.tensor(step))), 3) for step in (0, 5, 10)]
    [0.1, 0.05, 0.0]

    Equals `torch.optim.lr_scheduler.CosineAnnealingLR`.
    """
    check_number("cosine", "lr", lr)
    check_steps("cosine", "T_max", T_max)
    check_number("cosine", "eta_min", eta_min)

    def value(step: Int[Tensor, ""]) -> Scalar:
        return eta_min + (lr - eta_min) * (1 + torch.cos(step.double() * (math.pi / T_max))) / 2

    return value
