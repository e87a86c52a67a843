"""Schedules against torch.optim.lr_scheduler, and errors for bad arguments."""

import inspect
import math

import pytest
import torch

from funcdl import transforms
from funcdl.optim import schedules

lr_scheduler = torch.optim.lr_scheduler
LR = 0.3


def learning_rates(make_scheduler, lr=LR, steps=200):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=lr, momentum=0.9)
    scheduler = make_scheduler(optimizer)
    values = []
    for _ in range(steps):
        values.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        scheduler.step()
    return torch.tensor(values, dtype=torch.float64).T


def sequential(optimizer, makers, milestones):
    return lr_scheduler.SequentialLR(optimizer, [make(optimizer) for make in makers], milestones)


CASES = {
    "constant": (schedules.constant(LR), lambda o: lr_scheduler.LambdaLR(o, lambda step: 1.0)),
    "constant-factor": (schedules.constant(LR, 1 / 3, 5), lambda o: lr_scheduler.ConstantLR(o)),
    "constant-factor-37": (schedules.constant(LR, 0.1, 37), lambda o: lr_scheduler.ConstantLR(o, 0.1, 37)),
    "linear": (schedules.linear(LR), lambda o: lr_scheduler.LinearLR(o)),
    "linear-down": (schedules.linear(LR, 1.0, 0.2, 70), lambda o: lr_scheduler.LinearLR(o, 1.0, 0.2, 70)),
    "polynomial": (schedules.polynomial(LR), lambda o: lr_scheduler.PolynomialLR(o)),
    "polynomial-power": (schedules.polynomial(LR, 150, 2.5), lambda o: lr_scheduler.PolynomialLR(o, 150, 2.5)),
    "exponential": (schedules.exponential(LR, 0.97), lambda o: lr_scheduler.ExponentialLR(o, 0.97)),
    "step": (schedules.step(LR, 30), lambda o: lr_scheduler.StepLR(o, 30)),
    "step-gamma": (schedules.step(LR, 1, 0.9), lambda o: lr_scheduler.StepLR(o, 1, 0.9)),
    "multi_step": (schedules.multi_step(LR, [1, 30, 80, 81]), lambda o: lr_scheduler.MultiStepLR(o, [1, 30, 80, 81])),
    "multi_step-gamma": (schedules.multi_step(LR, [50], 0.7), lambda o: lr_scheduler.MultiStepLR(o, [50], 0.7)),
    "multi_step-never": (schedules.multi_step(LR, []), lambda o: lr_scheduler.MultiStepLR(o, [])),
    "cosine": (schedules.cosine(LR, T_max=60), lambda o: lr_scheduler.CosineAnnealingLR(o, 60)),
    "cosine-1": (schedules.cosine(LR, T_max=1), lambda o: lr_scheduler.CosineAnnealingLR(o, 1)),
    "cosine-eta_min": (schedules.cosine(LR, 250, 0.1), lambda o: lr_scheduler.CosineAnnealingLR(o, 250, 0.1)),
    "restarts": (schedules.cosine_restarts(LR, 7), lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 7)),
    "restarts-2": (
        schedules.cosine_restarts(LR, 3, 2, 0.01),
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3, 2, 0.01),
    ),
    "restarts-3": (schedules.cosine_restarts(LR, 1, 3), lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 1, 3)),
    "one_cycle": (
        schedules.one_cycle(LR, 200),
        lambda o: lr_scheduler.OneCycleLR(o, LR, 200),
        schedules.one_cycle_momentum(200),
    ),
    "one_cycle-linear": (
        schedules.one_cycle(LR, 210, 0.4, "linear", 10.0, 100.0),
        lambda o: lr_scheduler.OneCycleLR(o, LR, 210, None, None, 0.4, "linear", True, 0.7, 0.9, 10.0, 100.0),
        schedules.one_cycle_momentum(210, 0.4, "linear", 0.7, 0.9),
    ),
    "one_cycle-three_phase": (
        schedules.one_cycle(LR, 200, 0.35, three_phase=True),
        lambda o: lr_scheduler.OneCycleLR(o, LR, 200, pct_start=0.35, three_phase=True),
        schedules.one_cycle_momentum(200, 0.35, three_phase=True),
    ),
    "one_cycle-down": (
        schedules.one_cycle(LR, 200, 0.0),
        lambda o: lr_scheduler.OneCycleLR(o, LR, 200, pct_start=0.0),
        schedules.one_cycle_momentum(200, 0.0),
    ),
    "cyclic": (
        schedules.cyclic(0.1, LR, 7, 12),
        lambda o: lr_scheduler.CyclicLR(o, 0.1, LR, 7, 12),
        schedules.cyclic(0.9, 0.8, 7, 12),
    ),
    "cyclic-triangular2": (
        schedules.cyclic(0.1, LR, 13, mode="triangular2"),
        lambda o: lr_scheduler.CyclicLR(o, 0.1, LR, 13, mode="triangular2"),
        schedules.cyclic(0.9, 0.8, 13, mode="triangular2"),
    ),
    "cyclic-exp_range": (
        schedules.cyclic(0.1, LR, 10, 1, "exp_range", 0.98),
        lambda o: lr_scheduler.CyclicLR(o, 0.1, LR, 10, 1, "exp_range", 0.98),
        schedules.cyclic(0.9, 0.8, 10, 1, "exp_range", 0.98),
    ),
    "cyclic-scale_fn": (
        schedules.cyclic(0.1, LR, 10, scale_fn=lambda x: 1 / x),
        lambda o: lr_scheduler.CyclicLR(o, 0.1, LR, 10, scale_fn=lambda x: 1 / x),
        schedules.cyclic(0.9, 0.8, 10, scale_fn=lambda x: 1 / x),
    ),
    "cyclic-scale_mode": (
        schedules.cyclic(0.1, LR, 10, scale_fn=lambda x: 1 / (1 + x), scale_mode="iterations"),
        lambda o: lr_scheduler.CyclicLR(o, 0.1, LR, 10, scale_fn=lambda x: 1 / (1 + x), scale_mode="iterations"),
    ),
    "warm_up": (
        schedules.warm_up(schedules.cosine(LR, 90), 20, 0.1),
        lambda o: sequential(
            o, [lambda o: lr_scheduler.LinearLR(o, 0.1, 1, 20), lambda o: lr_scheduler.CosineAnnealingLR(o, 90)], [20]
        ),
    ),
    "join": (
        schedules.join([schedules.linear(LR, 0.1, 1, 20), schedules.exponential(LR, 0.9), LR], [20, 60]),
        lambda o: sequential(
            o,
            [
                lambda o: lr_scheduler.LinearLR(o, 0.1, 1, 20),
                lambda o: lr_scheduler.ExponentialLR(o, 0.9),
                lambda o: lr_scheduler.LambdaLR(o, lambda step: 1.0),
            ],
            [20, 60],
        ),
    ),
    "product": (
        schedules.product(schedules.constant(LR, 0.1, 20), schedules.exponential(1.0, 0.9), 0.5),
        lambda o: lr_scheduler.ChainedScheduler(
            [
                lr_scheduler.ConstantLR(o, 0.1, 20),
                lr_scheduler.ExponentialLR(o, 0.9),
                lr_scheduler.ConstantLR(o, 0.5, 1000),
            ]
        ),
    ),
    "inverse_time": (
        schedules.inverse_time(LR, 0.2, 0.75),
        lambda o: lr_scheduler.LambdaLR(o, lambda step: (1 + 0.2 * step) ** -0.75),
    ),
    "piecewise": (
        schedules.piecewise({0: LR, 40: 0.1, 90: 0.2}),
        lambda o: lr_scheduler.LambdaLR(o, lambda step: 1 if step < 40 else 1 / 3 if step < 90 else 2 / 3),
    ),
    "piecewise-cos": (
        schedules.piecewise({0: LR, 10: 0.05}, interpolate="cos"),
        lambda o: torch.optim.swa_utils.SWALR(o, swa_lr=0.05, anneal_epochs=10),
    ),
    "piecewise-linear": (
        schedules.piecewise({0: LR, 15: 0.05}, interpolate="linear"),
        lambda o: torch.optim.swa_utils.SWALR(o, swa_lr=0.05, anneal_epochs=15, anneal_strategy="linear"),
    ),
    "own": (lambda step: LR / (1 + step.double()), lambda o: lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step))),
}


@pytest.mark.parametrize("case", CASES)
def test_schedule_matches_torch_over_200_steps(case, device):
    schedule, twin, *momentum = CASES[case]
    rates, momenta = learning_rates(twin)
    for made, expected in zip([schedule, *momentum], [rates, momenta], strict=False):
        values = [made(torch.tensor(step, device=device)) for step in range(200)]
        assert all(v.shape == () and v.device.type == device.type for v in values)
        assert all(v.dtype == torch.float64 for v in values)
        torch.testing.assert_close(torch.stack(values).cpu(), expected, rtol=1e-10, atol=1e-12)


def test_every_scheduler_of_torch_has_a_schedule():
    twins = {
        name
        for name in lr_scheduler.__all__
        if any(name in inspect.getsource(twin) for _, twin, *_ in CASES.values())
        or any(f"lr_scheduler.{name}`" in (getattr(schedules, s).__doc__ or "") for s in schedules.__all__)
    }
    others = {
        "LRScheduler": "the base class",
        "MultiplicativeLR": "a product of all factors so far is no function of the step",
        "ReduceLROnPlateau": "it watches the loss: optim.reduce_on_plateau, tests/optim/test_plateau.py",
        "SequentialLR": "schedules.join, by the function above",
    }
    assert twins | set(others) == set(lr_scheduler.__all__)


def test_every_schedule_is_compared():
    compared = inspect.getsource(inspect.getmodule(learning_rates)).split("CASES = {")[1].split("\n}\n")[0]
    assert [name for name in schedules.__all__ if f"schedules.{name}(" not in compared] == []


def test_all_compile_once_to_one_graph_and_take_a_vector_of_steps_by_vmap():
    def all_of_them(step):
        return [schedule(step) for schedule, *_ in CASES.values()]

    fast = transforms.jit(all_of_them)
    expected = [all_of_them(torch.tensor(step)) for step in range(120)]
    torch.testing.assert_close(fast(torch.tensor(0)), expected[0])
    compiled = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for step in (1, 20, 63, 119):
        torch.testing.assert_close(fast(torch.tensor(step)), expected[step])
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == compiled
    many = transforms.vmap(all_of_them)(torch.arange(120))
    torch.testing.assert_close(many, [torch.stack(column) for column in zip(*expected, strict=True)])


def test_late_restarts_come_at_the_right_step():
    for T_0, T_mult in ((1, 2), (3, 2), (7, 3), (10, 10), (6, 5)):
        schedule, start = schedules.cosine_restarts(1.0, T_0, T_mult), 0
        for n in range(8):
            assert schedule(torch.tensor(start)) > 1 - 1e-9, (T_0, T_mult, n)
            length = T_0 * T_mult**n
            last = (1 + math.cos(math.pi * (length - 1) / length)) / 2
            torch.testing.assert_close(schedule(torch.tensor(start + length - 1)).item(), last, rtol=1e-6, atol=1e-9)
            start += length


def test_one_cycle_begins_at_its_first_value_and_stays_at_its_last():
    rate, momentum = schedules.one_cycle(1.0, 10), schedules.one_cycle_momentum(10)
    assert rate(torch.tensor(0)) == 1 / 25
    assert momentum(torch.tensor(0)) == 0.95
    assert rate(torch.tensor(9)) == rate(torch.tensor(1000))
    torch.testing.assert_close(rate(torch.tensor(9)).item(), 1 / 25 / 1e4, rtol=1e-9, atol=0)
    assert schedules.one_cycle(1.0, 10, 0.1)(torch.tensor(0)) == 1 / 25  # torch divides by zero here
    rising = schedules.one_cycle(1.0, 10, 1.0)
    assert rising(torch.tensor(9)) == 1.0
    torch.testing.assert_close(rising(torch.tensor(10)).item(), 1 / 25 / 1e4, rtol=1e-9, atol=0)


def test_a_joined_schedule_never_sees_a_negative_step():
    seen = []

    def spy(step):
        seen.append(int(step))
        return 1.0

    schedules.join([0.0, spy], [5])(torch.tensor(2))
    schedules.warm_up(spy, 5)(torch.tensor(2))
    assert min(seen) == 0


def test_gradients_flow_through_a_schedule_into_its_arguments():
    def value(lr):
        return schedules.warm_up(schedules.cosine(lr, 10), 4, 0.5)(torch.tensor(2))

    torch.testing.assert_close(transforms.grad(value)(torch.tensor(0.1)), torch.tensor(0.75))
    made = transforms.vmap(lambda lr: schedules.exponential(lr, 0.5)(torch.tensor(1)))(torch.tensor([1.0, 2.0]))
    assert made.tolist() == [0.5, 1.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.constant(float("nan")), "constant: lr=nan is out of range"),
        (lambda: schedules.constant(0.1, factor=2.0), r"constant: factor=2.0 is out of range; .* \[0, 1\]"),
        (lambda: schedules.constant(0.1, total_iters=-1), "constant: total_iters=-1 .* at least 0"),
        (lambda: schedules.constant(torch.ones(2)), r"lr is a tensor of shape \(2,\)"),
        (lambda: schedules.constant("1"), "constant: lr='1' is not a number"),
        (lambda: schedules.linear(-0.1), r"linear: lr=-0.1 is out of range; expected a number in \[0, inf\)"),
        (lambda: schedules.linear(0.1, start_factor=-0.1), "linear: start_factor=-0.1"),
        (lambda: schedules.linear(0.1, end_factor=-0.1), "linear: end_factor=-0.1"),
        (lambda: schedules.linear(0.1, total_iters=0), "linear: total_iters=0"),
        (lambda: schedules.polynomial(0.1, 2.5), "polynomial: total_iters=2.5 .* integer number of steps, at least 1"),
        (lambda: schedules.polynomial(0.1, 5, -1.0), "polynomial: power=-1.0"),
        (lambda: schedules.exponential(0.1, -0.5), "exponential: gamma=-0.5"),
        (lambda: schedules.step(0.1, True), "step: step_size=True"),
        (lambda: schedules.step(0.1, 3, -0.5), "step: gamma=-0.5"),
        (lambda: schedules.multi_step(0.1, [3, 3]), r"multi_step: milestones=\[3, 3\] must increase"),
        (lambda: schedules.multi_step(0.1, [0]), "multi_step: milestones=0 is out of range"),
        (lambda: schedules.inverse_time(0.1, -1.0), "inverse_time: gamma=-1.0"),
        (lambda: schedules.cosine(0.1, T_max=0), "cosine: T_max=0"),
        (lambda: schedules.cosine(0.1, 3, -0.1), "cosine: eta_min=-0.1"),
        (
            lambda: schedules.cosine(schedules.constant(1.0), 3),
            "cosine: lr is a function, expected a number; schedules",
        ),
        (lambda: schedules.cosine_restarts(0.1, 0), "cosine_restarts: T_0=0"),
        (lambda: schedules.cosine_restarts(0.1, 3, 0), "cosine_restarts: T_mult=0"),
        (lambda: schedules.one_cycle(0.1, 0), "one_cycle: total_steps=0"),
        (lambda: schedules.one_cycle(0.1, 9, 1.5), "one_cycle: pct_start=1.5"),
        (lambda: schedules.one_cycle(0.1, 9, 0.6, three_phase=True), r"pct_start=0.6 is out of range; .*\[0, 0.5\]"),
        (
            lambda: schedules.one_cycle(0.1, 9, anneal_strategy="cubic"),
            "'cubic' is unknown; expected 'cos' or 'linear'",
        ),
        (lambda: schedules.one_cycle(0.1, 9, div_factor=0.5), "one_cycle: div_factor=0.5"),
        (lambda: schedules.one_cycle_momentum(9, max_momentum=1.0), "one_cycle_momentum: max_momentum=1.0"),
        (lambda: schedules.cyclic(0.1, 0.2, 0), "cyclic: step_size_up=0"),
        (lambda: schedules.cyclic(0.1, 0.2, 3, 0), "cyclic: step_size_down=0"),
        (lambda: schedules.cyclic(0.1, 0.2, mode="square"), "mode='square' is unknown"),
        (lambda: schedules.cyclic(0.1, 0.2, scale_mode="steps"), "scale_mode='steps' is unknown"),
        (lambda: schedules.piecewise({}), "piecewise: points is empty"),
        (lambda: schedules.piecewise({-1: 0.1}), "a step of points=-1"),
        (lambda: schedules.piecewise({0: -0.1}), r"points\[0\]=-0.1"),
        (lambda: schedules.piecewise({0: 0.1}, "spline"), "interpolate='spline' is unknown"),
        (lambda: schedules.join([0.1, 0.2], []), "got 2 schedules and 0 milestones; expected one milestone between"),
        (lambda: schedules.join([0.1, 0.2, 0.3], [5, 4]), "must increase"),
        (lambda: schedules.join([], []), "got 0 schedules"),
        (lambda: schedules.warm_up("cosine", 5), "warm_up: the schedule='cosine' is not a number"),
        (lambda: schedules.warm_up(0.1, 0), "warm_up: total_iters=0"),
        (lambda: schedules.warm_up(0.1, 3, -0.5), "warm_up: start_factor=-0.5"),
        (lambda: schedules.product(), "product: got no schedules"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
