"""Schedules that go up and down: warm restarts, one cycle, many cycles."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from funcdl.optim.hyperparameters import Scalar, Schedule
from funcdl.optim.schedules.arguments import one_of, real, whole
from funcdl.optim.schedules.pieces import along

Anneal = Literal["cos", "linear"]


def cosine_restarts(lr: float | Tensor, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> Schedule:
    """Half a cosine from `lr` down to `eta_min`, again and again, each one `T_mult` times as long as the one before.

    `eta_min + (lr - eta_min) (1 + cos(pi t / T)) / 2` at `t` of the `T` steps of the cosine that is running.

    Args:
        lr: the number at each restart.
        T_0: steps of the first cosine, at least 1.
        T_mult: factor from one length to the next, at least 1.
        eta_min: what is approached before each restart.

    Raises:
        ValueError: an argument is out of range.

    >>> schedule = cosine_restarts(0.1, T_0=10, T_mult=2)
    >>> [round(float(schedule(torch.tensor(step))), 3) for step in (0, 5, 10, 20, 30)]
    [0.1, 0.05, 0.1, 0.05, 0.1]

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017),
    https://arxiv.org/abs/1608.03983. Equals `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`.
    """
    real("cosine_restarts", "lr", lr)
    whole("cosine_restarts", "T_0", T_0)
    whole("cosine_restarts", "T_mult", T_mult)
    real("cosine_restarts", "eta_min", eta_min)

    def value(step: Int[Tensor, ""]) -> Scalar:
        if T_mult == 1:
            share = (step % T_0).double() / T_0
        else:
            passed = step.double() * ((T_mult - 1) / T_0) + 1
            # The logarithm is whole at a restart; what rounding took off must not put it off by a cosine.
            length = float(T_mult) ** torch.floor(torch.log(passed) / math.log(T_mult) + 1e-12)
            share = (passed / length - 1) / (T_mult - 1)
        return eta_min + (lr - eta_min) * (1 + torch.cos(math.pi * share)) / 2

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
        max_lr: the highest number, reached at step `pct_start total_steps - 1`.
        total_steps: steps of the cycle, at least 1; from the last one on the lowest number holds.
        pct_start: share of the steps that lead up, in [0, 1].
        anneal_strategy: "cos" or "linear".
        div_factor: how many times lower the first number is, at least 1.
        final_div_factor: how many times lower still the last one is, at least 1.
        three_phase: whether to come down to the first number in as many steps as it went up, and to the last one after.

    Raises:
        ValueError: an argument is out of range; `three_phase` needs a `pct_start` of 0.5 at most.

    >>> schedule = one_cycle(1.0, total_steps=101, pct_start=0.5)
    >>> [round(float(schedule(torch.tensor(step))), 3) for step in (0, 25, 50, 75, 100)]
    [0.04, 0.528, 1.0, 0.492, 0.0]

    Smith and Topin, "Super-Convergence" (2018), https://arxiv.org/abs/1708.07120. Equals
    `torch.optim.lr_scheduler.OneCycleLR`, which refuses steps beyond `total_steps`; its momentum is
    `one_cycle_momentum`.
    """
    real("one_cycle", "max_lr", max_lr)
    real("one_cycle", "div_factor", div_factor, low=1.0)
    real("one_cycle", "final_div_factor", final_div_factor, low=1.0)
    ends = _phase_ends("one_cycle", total_steps, pct_start, anneal_strategy, three_phase)
    initial = max_lr / div_factor
    numbers = [initial, max_lr, *([initial] if three_phase else []), initial / final_div_factor]

    def value(step: Int[Tensor, ""]) -> Scalar:
        return along(step, list(zip(ends, numbers, strict=True)), anneal_strategy)

    return value


def one_cycle_momentum(
    total_steps: int,
    pct_start: float = 0.3,
    anneal_strategy: Anneal = "cos",
    base_momentum: float = 0.85,
    max_momentum: float = 0.95,
    three_phase: bool = False,
) -> Schedule:
    """The momentum, or `betas[0]`, beside `one_cycle`: down from `max_momentum` to `base_momentum` and up again.

    Args:
        total_steps, pct_start, anneal_strategy, three_phase: as for `one_cycle`.
        base_momentum: the lowest number, in [0, 1).
        max_momentum: the highest number, in [0, 1).

    Raises:
        ValueError: an argument is out of range.

    >>> schedule = one_cycle_momentum(total_steps=101, pct_start=0.5)
    >>> [round(float(schedule(torch.tensor(step))), 3) for step in (0, 50, 100)]
    [0.95, 0.85, 0.95]

    Equals what `torch.optim.lr_scheduler.OneCycleLR(cycle_momentum=True)` does to the momentum.
    """
    real("one_cycle_momentum", "base_momentum", base_momentum, high=1.0)
    real("one_cycle_momentum", "max_momentum", max_momentum, high=1.0)
    ends = _phase_ends("one_cycle_momentum", total_steps, pct_start, anneal_strategy, three_phase)
    numbers = [max_momentum, base_momentum, max_momentum, *([max_momentum] if three_phase else [])]

    def value(step: Int[Tensor, ""]) -> Scalar:
        return along(step, list(zip(ends, numbers, strict=True)), anneal_strategy)

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
    """Up from `base_lr` to `max_lr` and down again along straight lines, in cycles.

    Args:
        base_lr: the number at the ends of each cycle.
        max_lr: the number between them. It may be the lower one: beside `cyclic(0.01, 0.1)` torch cycles the momentum,
            which is `cyclic(0.9, 0.8)`.
        step_size_up: steps from `base_lr` to `max_lr`, at least 1.
        step_size_down: steps back, at least 1; as many as up by default.
        mode: whether the height of a cycle stays ("triangular"), halves from cycle to cycle ("triangular2") or is
            `gamma ^ step` times the first one ("exp_range").
        gamma: factor from step to step, at least 0.
        scale_fn: a height of your own in place of `mode`, a function of a 0-dim float64 tensor.
        scale_mode: whether `scale_fn` gets the number of the cycle, from 1, or of the step, from 0 ("iterations").

    Raises:
        ValueError: an argument is out of range.

    >>> schedule = cyclic(0.0, 1.0, step_size_up=10, mode="triangular2")
    >>> [round(float(schedule(torch.tensor(step))), 3) for step in (0, 5, 10, 15, 20, 30)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.5]

    Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), https://arxiv.org/abs/1506.01186. Equals
    `torch.optim.lr_scheduler.CyclicLR`.
    """
    real("cyclic", "base_lr", base_lr)
    real("cyclic", "max_lr", max_lr)
    up = whole("cyclic", "step_size_up", step_size_up)
    down = up if step_size_down is None else whole("cyclic", "step_size_down", step_size_down)
    real("cyclic", "gamma", gamma)
    one_of("cyclic", "mode", mode, ["triangular", "triangular2", "exp_range"])
    one_of("cyclic", "scale_mode", scale_mode, ["cycle", "iterations"])

    def height(cycle: Scalar, step: Scalar) -> Scalar | float:
        if scale_fn is not None:
            return scale_fn(cycle if scale_mode == "cycle" else step)
        if mode == "triangular":
            return 1.0
        return 0.5 ** (cycle - 1) if mode == "triangular2" else gamma**step

    def value(step: Int[Tensor, ""]) -> Scalar:
        within = (step % (up + down)).double()
        share = torch.where(within <= up, within / up, (up + down - within) / down)
        cycle = 1 + (step // (up + down)).double()
        return base_lr + (max_lr - base_lr) * share * height(cycle, step.double())

    return value


def _phase_ends(owner: str, total_steps: int, pct_start: float, anneal_strategy: str, three_phase: bool) -> list[float]:
    whole(owner, "total_steps", total_steps)
    real(owner, "pct_start", pct_start, high=0.5 if three_phase else 1.0, open=False)
    one_of(owner, "anneal_strategy", anneal_strategy, ["cos", "linear"])
    top = pct_start * total_steps - 1
    return [0.0, top, *([2 * top] if three_phase else []), total_steps - 1.0]
