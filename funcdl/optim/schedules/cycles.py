"""Cyclic schedules: cosine with warm restarts, one cycle, many cycles."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from funcdl.optim.hyperparameters import Scalar, Schedule
from funcdl.optim.schedules.interpolation import interpolate_points
from funcdl.optim.schedules.validation import check_choice, check_number, check_steps

Anneal = Literal["cos", "linear"]


def cosine_restarts(lr: float | Tensor, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> Schedule:
    """Cosine annealing from `lr` to `eta_min` with restarts, each cycle `T_mult` times as long as the one before.

    `eta_min + (lr - eta_min) (1 + cos(pi t / T)) / 2` at step `t` of a cycle of `T` steps.

    Args:
        lr: the value at each restart.
        T_0: steps of the first cycle, at least 1.
        T_mult: length of a cycle relative to the one before, at least 1.
        eta_min: the value approached before each restart.

    Raises:
        ValueError: an argument is out of range.

    >>> schedule = cosine_restarts(0.1, T_0=10, T_mult=2)
    >>> [round(float(schedule(torch.tensor(step))), 3) for step in (0, 5, 10, 20, 30)]
    [0.1, 0.05, 0.1, 0.05, 0.1]

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017),
    https://arxiv.org/abs/1608.03983. Equals `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`.
    """
    check_number("cosine_restarts", "lr", lr)
    check_steps("cosine_restarts", "T_0", T_0)
    check_steps("cosine_restarts", "T_mult", T_mult)
    check_number("cosine_restarts", "eta_min", eta_min)

    def value(step: Int[Tensor, ""]) -> Scalar:
        if T_mult == 1:
            progress = (step % T_0).double() / T_0
        else:
            passed = step.double() * ((T_mult - 1) / T_0) + 1
            # The logarithm is an integer at a restart; rounded down, it would be off by a cycle.
            length = float(T_mult) ** torch.floor(torch.log(passed) / math.log(T_mult) + 1e-12)
            progress = (passed / length - 1) / (T_mult - 1)
        return eta_min + (lr - eta_min) * (1 + torch.cos(math.pi * progress)) / 2

    return value


def one_cycle(
    max_lr: float | Tensor,
    total_steps: int,
    pct_start: float = 0.3,
    anneal_strategy: Anneal = "cos",
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> Schedule:
    """Up from `max_lr / div_factor` to `max_lr`, then down to `max_lr / div_factor / final_div_factor`.

    Args:
        max_lr: the highest value, reached at step `pct_start total_steps - 1`.
        total_steps: steps of the cycle, at least 1; the lowest value is kept after the last one.
        pct_start: fraction of the steps that increase, in [0, 1].
        anneal_strategy: "cos" or "linear".
        div_factor: how many times lower the first value is, at least 1.
        final_div_factor: how many times lower than that the last value is, at least 1.
        three_phase: whether to decrease to the first value in as many steps as it increased, and then to the last one.

    Raises:
        ValueError: an argument is out of range; `three_phase` needs a `pct_start` of 0.5 at most.

    >>> schedule = one_cycle(1.0, total_steps=101, pct_start=0.5)
    >>> [round(float(schedule(torch.tensor(step))), 3) for step in (0, 25, 50, 75, 100)]
    [0.04, 0.528, 1.0, 0.492, 0.0]

    Smith and Topin, "Super-Convergence" (2018), https://arxiv.org/abs/1708.07120. Equals
    `torch.optim.lr_scheduler.OneCycleLR`, which refuses steps beyond `total_steps`; its momentum is
    `one_cycle_momentum`.
    """
    check_number("one_cycle", "max_lr", max_lr)
    check_number("one_cycle", "div_factor", div_factor, low=1.0)
    check_number("one_cycle", "final_div_factor", final_div_factor, low=1.0)
    ends = _phase_ends("one_cycle", total_steps, pct_start, anneal_strategy, three_phase)
    initial = max_lr / div_factor
    numbers = [initial, max_lr, *([initial] if three_phase else []), initial / final_div_factor]

    def value(step: Int[Tensor, ""]) -> Scalar:
        return interpolate_points(step, list(zip(ends, numbers, strict=True)), anneal_strategy)

    return value


def one_cycle_momentum(
    total_steps: int,
    pct_start: float = 0.3,
    anneal_strategy: Anneal = "cos",
    base_momentum: float = 0.85,
    max_momentum: float = 0.95,
    three_phase: bool = False,
) -> Schedule:
    """The momentum, or `betas[0]`, for `one_cycle`: down from `max_momentum` to `base_momentum` and up again.

    Args:
        total_steps, pct_start, anneal_strategy, three_phase: as for `one_cycle`.
        base_momentum: the lowest value, in [0, 1).
        max_momentum: the highest value, in [0, 1).

    Raises:
        ValueError: an argument is out of range.

    >>> schedule = one_cycle_momentum(total_steps=101, pct_start=0.5)
    >>> [round(float(schedule(torch.tensor(step))), 3) for step in (0, 50, 100)]
    [0.95, 0.85, 0.95]

    Equals what `torch.optim.lr_scheduler.OneCycleLR(cycle_momentum=True)` does to the momentum.
    """
    check_number("one_cycle_momentum", "base_momentum", base_momentum, high=1.0)
    check_number("one_cycle_momentum", "max_momentum", max_momentum, high=1.0)
    ends = _phase_ends("one_cycle_momentum", total_steps, pct_start, anneal_strategy, three_phase)
    numbers = [max_momentum, base_momentum, max_momentum, *([max_momentum] if three_phase else [])]

    def value(step: Int[Tensor, ""]) -> Scalar:
        return interpolate_points(step, list(zip(ends, numbers, strict=True)), anneal_strategy)

    return value


def cyclic(
    base_lr: float | Tensor,
    max_lr: float | Tensor,
    step_size_up: int = 2000,
    step_size_down: int | None = None,
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
    gamma: float = 1.0,
    scale_fn: Callable[[Scalar], Scalar] | None = None,
    scale_mode: Literal["cycle", "iterations"] = "cycle",
) -> Schedule:
    """Linear cycles: up from `base_lr` to `max_lr` and down again.

    Args:
        base_lr: the value at the ends of each cycle.
        max_lr: the value between them. It may be lower than `base_lr`: along with `cyclic(0.01, 0.1)` torch cycles the
            momentum, which is `cyclic(0.9, 0.8)`.
        step_size_up: steps from `base_lr` to `max_lr`, at least 1.
        step_size_down: steps back, at least 1; `step_size_up` by default.
        mode: whether the height of cycles is constant ("triangular"), halves with each cycle ("triangular2") or is
            multiplied by `gamma ^ step` ("exp_range").
        gamma: factor from step to step, at least 0.
        scale_fn: the factor of the height in place of `mode`, a function of a 0-dim float64 tensor.
        scale_mode: whether `scale_fn` gets the index of the cycle, from 1, or of the step, from 0 ("iterations").

    Raises:
        ValueError: an argument is out of range.

    >>> schedule = cyclic(0.0, 1.0, step_size_up=10, mode="triangular2")
    >>> [round(float(schedule(torch.tensor(step))), 3) for step in (0, 5, 10, 15, 20, 30)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.5]

    Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), https://arxiv.org/abs/1506.01186. Equals
    `torch.optim.lr_scheduler.CyclicLR`.
    """
    check_number("cyclic", "base_lr", base_lr)
    check_number("cyclic", "max_lr", max_lr)
    up = check_steps("cyclic", "step_size_up", step_size_up)
    down = up if step_size_down is None else check_steps("cyclic", "step_size_down", step_size_down)
    check_number("cyclic", "gamma", gamma)
    check_choice("cyclic", "mode", mode, ["triangular", "triangular2", "exp_range"])
    check_choice("cyclic", "scale_mode", scale_mode, ["cycle", "iterations"])

    def height(cycle: Scalar, step: Scalar) -> Scalar | float:
        if scale_fn is not None:
            return scale_fn(cycle if scale_mode == "cycle" else step)
        if mode == "triangular":
            return 1.0
        return 0.5 ** (cycle - 1) if mode == "triangular2" else gamma**step

    def value(step: Int[Tensor, ""]) -> Scalar:
        within = (step % (up + down)).double()
        fraction = torch.where(within <= up, within / up, (up + down - within) / down)
        cycle = 1 + (step // (up + down)).double()
        return base_lr + (max_lr - base_lr) * fraction * height(cycle, step.double())

    return value


def _phase_ends(owner: str, total_steps: int, pct_start: float, anneal_strategy: str, three_phase: bool) -> list[float]:
    check_steps(owner, "total_steps", total_steps)
    check_number(owner, "pct_start", pct_start, high=0.5 if three_phase else 1.0, open=False)
    check_choice(owner, "anneal_strategy", anneal_strategy, ["cos", "linear"])
    top = pct_start * total_steps - 1
    return [0.0, top, *([2 * top] if three_phase else []), total_steps - 1.0]
