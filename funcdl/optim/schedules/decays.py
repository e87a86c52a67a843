"""Schedules that hold, fall or rise by one formula."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from funcdl.optim import differentiable
from funcdl.optim.hyperparameters import Scalar, Schedule
from funcdl.optim.schedules.arguments import increasing, real, whole


def constant(lr: float | Tensor, factor: float = 1.0, total_iters: int = 0) -> Schedule:
    """The same number at every update, or `factor` times as much at the first `total_iters` updates.

    Args:
        lr: the number, which may be negative.
        factor: what it is multiplied by at first, in [0, 1].
        total_iters: for how many updates.

    Raises:
        ValueError: an argument is out of range.

    >>> constant(0.1)(torch.tensor(7))
    tensor(0.1000, dtype=torch.float64)

    With `factor` and `total_iters` it equals `torch.optim.lr_scheduler.ConstantLR`, whose defaults are 1/3 and 5.
    """
    real("constant", "lr", lr, low=-math.inf)
    real("constant", "factor", factor, high=1.0, open=False)
    whole("constant", "total_iters", total_iters, low=0)

    def value(step: Int[Tensor, ""]) -> Scalar:
        return lr * (factor + (1 - factor) * (step >= total_iters).double())

    return value


def linear(lr: float | Tensor, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5) -> Schedule:
    """A straight line from `start_factor lr` at step 0 to `end_factor lr` at step `total_iters`, and level from there.

    Args:
        lr: the number that the factors multiply.
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
    real("linear", "lr", lr)
    real("linear", "start_factor", start_factor)
    real("linear", "end_factor", end_factor)
    whole("linear", "total_iters", total_iters)

    def value(step: Int[Tensor, ""]) -> Scalar:
        return lr * (start_factor + (end_factor - start_factor) * step.double().clamp(max=total_iters) / total_iters)

    return value


def polynomial(lr: float | Tensor, total_iters: int = 5, power: float = 1.0) -> Schedule:
    """`lr (1 - step / total_iters) ^ power`, and 0 from step `total_iters` on.

    Args:
        lr: the number at step 0.
        total_iters: steps to 0, at least 1.
        power: of what is left, at least 0.

    Raises:
        ValueError: an argument is out of range.

    >>> falling = polynomial(0.1, total_iters=10, power=2.0)
    >>> [round(float(falling(torch.tensor(step))), 3) for step in (0, 5, 10)]
    [0.1, 0.025, 0.0]

    Equals `torch.optim.lr_scheduler.PolynomialLR`.
    """
    real("polynomial", "lr", lr)
    whole("polynomial", "total_iters", total_iters)
    real("polynomial", "power", power)

    def value(step: Int[Tensor, ""]) -> Scalar:
        return lr * differentiable.power(1 - step.double().clamp(max=total_iters) / total_iters, power)

    return value


def exponential(lr: float | Tensor, gamma: float) -> Schedule:
    """`lr gamma ^ step`.

    Args:
        lr: the number at step 0.
        gamma: factor from step to step, at least 0.

    Raises:
        ValueError: an argument is out of range.

    >>> exponential(0.1, gamma=0.5)(torch.tensor(2))
    tensor(0.0250, dtype=torch.float64)

    Equals `torch.optim.lr_scheduler.ExponentialLR`.
    """
    real("exponential", "lr", lr)
    real("exponential", "gamma", gamma)

    def value(step: Int[Tensor, ""]) -> Scalar:
        return lr * gamma ** step.double()

    return value


def step(lr: float | Tensor, step_size: int, gamma: float = 0.1) -> Schedule:
    """Multiplied by `gamma` every `step_size` updates: `lr gamma ^ floor(step / step_size)`.

    Args:
        lr: the number at step 0.
        step_size: updates between two changes, at least 1.
        gamma: factor of each change, at least 0.

    Raises:
        ValueError: an argument is out of range.

    >>> falling = step(0.1, step_size=30, gamma=0.5)
    >>> [round(float(falling(torch.tensor(step))), 3) for step in (0, 29, 30, 60)]
    [0.1, 0.1, 0.05, 0.025]

    Equals `torch.optim.lr_scheduler.StepLR`.
    """
    real("step", "lr", lr)
    whole("step", "step_size", step_size)
    real("step", "gamma", gamma)

    def value(step: Int[Tensor, ""]) -> Scalar:
        return lr * gamma ** (step // step_size).double()

    return value


def multi_step(lr: float | Tensor, milestones: Sequence[int], gamma: float = 0.1) -> Schedule:
    """Multiplied by `gamma` at each milestone.

    Args:
        lr: the number at step 0.
        milestones: the steps at which it changes, increasing.
        gamma: factor of each change, at least 0.

    Raises:
        ValueError: an argument is out of range, or the milestones do not increase.

    >>> falling = multi_step(0.1, milestones=[30, 80], gamma=0.5)
    >>> [round(float(falling(torch.tensor(step))), 3) for step in (0, 29, 30, 80)]
    [0.1, 0.1, 0.05, 0.025]

    Equals `torch.optim.lr_scheduler.MultiStepLR`.
    """
    real("multi_step", "lr", lr)
    real("multi_step", "gamma", gamma)
    steps = increasing("multi_step", "milestones", milestones)

    def value(step: Int[Tensor, ""]) -> Scalar:
        passed = torch.zeros_like(step)
        for milestone in steps:
            passed = passed + (step >= milestone)
        return lr * gamma ** passed.double()

    return value


def inverse_time(lr: float | Tensor, gamma: float, power: float = 1.0) -> Schedule:
    """`lr / (1 + gamma step) ^ power`, which falls slowly enough for stochastic gradients to find the minimum.

    Args:
        lr: the number at step 0.
        gamma: decay per step, at least 0.
        power: at least 0; the theory asks for more than 1/2 and at most 1.

    Raises:
        ValueError: an argument is out of range.

    >>> inverse_time(0.1, gamma=0.5)(torch.tensor(2))
    tensor(0.0500, dtype=torch.float64)

    Robbins and Monro, "A Stochastic Approximation Method" (1951). With a power of 1 and `gamma = decay_rate /
    decay_steps` it equals `keras.optimizers.schedules.InverseTimeDecay`.
    """
    real("inverse_time", "lr", lr)
    real("inverse_time", "gamma", gamma)
    real("inverse_time", "power", power)

    def value(step: Int[Tensor, ""]) -> Scalar:
        return lr / (1 + gamma * step.double()) ** power

    return value


def cosine(lr: float | Tensor, T_max: int, eta_min: float = 0.0) -> Schedule:
    """Half a cosine from `lr` at step 0 down to `eta_min` at step `T_max`; beyond, it comes up again.

    `eta_min + (lr - eta_min) (1 + cos(pi step / T_max)) / 2`.

    Args:
        lr: the number at step 0.
        T_max: steps to the lowest number, at least 1.
        eta_min: the lowest number.

    Raises:
        ValueError: an argument is out of range.

    >>> halving = cosine(0.1, T_max=10)
    >>> [round(float(halving(torch.tensor(step))), 3) for step in (0, 5, 10)]
    [0.1, 0.05, 0.0]

    Equals `torch.optim.lr_scheduler.CosineAnnealingLR`.
    """
    real("cosine", "lr", lr)
    whole("cosine", "T_max", T_max)
    real("cosine", "eta_min", eta_min)

    def value(step: Int[Tensor, ""]) -> Scalar:
        return eta_min + (lr - eta_min) * (1 + torch.cos(step.double() * (math.pi / T_max))) / 2

    return value
