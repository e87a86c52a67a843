"""Schedules against torch.optim.lr_scheduler."""

import pytest
import torch

from funcdl import optim
from funcdl.optim import schedules


def learning_rates(make_scheduler, lr, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=lr)
    scheduler = make_scheduler(optimizer)
    values = []
    for _ in range(steps):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("schedule", "twin"),
    [
        (schedules.constant(0.3), lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 1.0)),
        (schedules.cosine(0.3, T_max=60), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 60)),
        (schedules.cosine(0.3, T_max=1), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 1)),
        (schedules.cosine(0.3, 250, 0.1), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 250, 0.1)),
    ],
    ids=["constant", "cosine", "cosine-1", "cosine-eta_min"],
)
def test_schedule_matches_torch_over_200_steps(schedule, twin, device):
    values = [schedule(torch.tensor(step, device=device)) for step in range(200)]
    assert all(v.shape == () and v.dtype == torch.float64 and v.device.type == device.type for v in values)
    torch.testing.assert_close(torch.stack(values).cpu(), learning_rates(twin, 0.3, 200), rtol=1e-10, atol=1e-12)


def test_cosine_needs_a_step():
    with pytest.raises(ValueError, match="T_max=0"):
        schedules.cosine(0.1, T_max=0)


def test_any_number_can_be_scheduled_and_the_state_shows_what_the_last_update_used():
    params, grads = {"w": torch.ones(2)}, {"w": torch.ones(2)}
    optimizer = optim.sgd(
        lr=lambda step: 1 / (step.double() + 1),
        momentum=lambda step: 0.5 + 0.1 * step.float(),
        dampening=schedules.constant(0),
    )
    state = optimizer.init(params)
    assert optim.get_hyperparameters(state)["2.lr"] == 1.0
    for step in range(3):
        _, state = optimizer.update(grads, state, params)
        shown = optim.get_hyperparameters(state)
        assert shown["2.lr"] == 1 / torch.tensor(step + 1, dtype=torch.float64)
        torch.testing.assert_close(shown["1.momentum"].item(), 0.5 + 0.1 * step)
        assert all(value.dtype == torch.float64 and value.shape == () for value in shown.values())


def test_a_replaced_scheduled_number_is_written_anew_by_the_next_update():
    params, grads = {"w": torch.ones(2)}, {"w": torch.ones(2)}
    optimizer = optim.sgd(lr=schedules.constant(0.5))
    state = optim.replace_hyperparameters(optimizer.init(params), lr=7.0)
    updates, state = optimizer.update(grads, state, params)
    assert updates["w"].tolist() == [-0.5, -0.5]
    assert optim.get_hyperparameters(state)["1.lr"] == 0.5
