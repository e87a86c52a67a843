"""Each hyperparameter of each optimizer may be a schedule."""

import inspect

import pytest
import torch

from funcdl import optim, random, tree
from funcdl.optim import schedules


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (lambda step: torch.ones(2), r"shape \(2,\), expected a 0-dim tensor"),
        (lambda step: step.reshape(1), r"shape \(1,\), expected a 0-dim tensor"),
        (lambda step: None, "type NoneType, expected a 0-dim tensor"),
        (lambda step: [0.1], "type list, expected"),
    ],
)
def test_a_schedule_that_returns_no_scalar_is_refused_by_name(schedule, message):
    with pytest.raises(ValueError, match=f"scale_by_learning_rate: lr: its schedule returned something of {message}"):
        optim.sgd(lr=schedule).init({"w": torch.ones(2)})
    with pytest.raises(ValueError, match="join: its schedule returned"):
        schedules.join([0.1, schedule], [3])(torch.tensor(0))


def test_any_hyperparameter_can_be_scheduled_and_the_state_has_its_value_at_the_last_update():
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


def test_a_replaced_scheduled_hyperparameter_is_computed_anew_by_the_next_update():
    params, grads = {"w": torch.ones(2)}, {"w": torch.ones(2)}
    optimizer = optim.sgd(lr=schedules.constant(0.5))
    state = optim.replace_hyperparameters(optimizer.init(params), lr=7.0)
    updates, state = optimizer.update(grads, state, params)
    assert updates["w"].tolist() == [-0.5, -0.5]
    assert optim.get_hyperparameters(state)["1.lr"] == 0.5


KINDS = ["ScalarOrSchedule", *(f"tuple[{', '.join(['ScalarOrSchedule'] * n)}]" for n in (2, 3))]


def arguments_of(maker):
    """What a maker may be called with: its defaults, and something plausible where it has none."""
    stand_ins = {"ScalarOrSchedule": 0.5, "Transformation": optim.sgd(0.1, 0.9), "Mask": "*", "Key": random.key(0)}
    arguments = {}
    for parameter in inspect.signature(maker).parameters.values():
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL:
            if parameter.annotation not in stand_ins:
                return None
            arguments[parameter.name] = stand_ins[parameter.annotation]
        elif parameter.annotation in KINDS:
            arguments[parameter.name] = parameter.default
    return arguments


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def scheduled(value):
    if isinstance(value, tuple):
        return tuple(map(scheduled, value))
    return schedules.constant(value) if is_number(value) else value


MAKERS = [
    name
    for name in optim.__all__
    if getattr(optim, name).__annotations__.get("return") == "Transformation"
    and any("ScalarOrSchedule" in str(note) for note in getattr(optim, name).__annotations__.values())
    and name not in ("make_transformation", "stateless")
]


@pytest.mark.parametrize("name", MAKERS)
def test_every_hyperparameter_of_every_optimizer_takes_a_schedule(name):
    maker = getattr(optim, name)
    arguments = arguments_of(maker)
    if name in ("multi_steps", "swa", "lookahead"):  # counts of updates start at 1
        arguments = {key: max(1, value) if is_number(value) else value for key, value in arguments.items()}
    if name == "reduce_on_plateau":
        arguments["optimizer"] = optim.sgd(0.1, 0.9)
    params = {"w": torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(2, 3) + 0.05}
    plain, with_schedules = maker(**arguments), maker(**{key: scheduled(value) for key, value in arguments.items()})
    assert any(scheduled(value) is not value for value in arguments.values())
    values = {}
    for label, transformation in (("plain", plain), ("scheduled", with_schedules)):
        now, state = params, transformation.init(params)
        for step in range(3):
            grads = tree.map(lambda p, step=step: (p + step).sin(), now)
            updates, state = transformation.update(grads, state, now, value=torch.tensor(1.0))
            now = optim.apply_updates(now, updates)
        values[label] = now["w"], {**optim.get_hyperparameters(state)}
    torch.testing.assert_close(values["plain"][0], values["scheduled"][0], rtol=1e-12, atol=1e-14)
    for path, value in values["plain"][1].items():
        same_name = [v for key, v in values["scheduled"][1].items() if key.split(".")[-1] == path.split(".")[-1]]
        assert any(torch.equal(value, other) for other in same_name), path
