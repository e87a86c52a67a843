"""`reduce_on_plateau` against `torch.optim.lr_scheduler.ReduceLROnPlateau`."""

import math

import pytest
import torch

from funcdl import optim, random, transforms, tree

PARAMS = {"w": torch.tensor([1.0, -2.0], dtype=torch.float64), "b": torch.tensor(0.5, dtype=torch.float64)}


def losses():
    """A loss that falls, rests, jumps, falls again, and is once not a number."""
    noise = random.normal(random.key(3), (200,), dtype=torch.float64)
    falling = [3 * math.exp(-step / 40) + (2.0 if 90 < step < 100 else 0.0) for step in range(200)]
    values = torch.tensor(falling, dtype=torch.float64) + 0.2 * noise
    values[50] = torch.nan
    return values


OPTIONS = [
    {},
    {"patience": 0},
    {"patience": 3, "factor": 0.5, "cooldown": 4},
    {"patience": 2, "factor": 0.5, "threshold": 0.2},
    {"patience": 2, "factor": 0.5, "threshold": 0.3, "threshold_mode": "abs", "min_lr": 0.02},
    {"patience": 2, "factor": 0.5, "mode": "max", "cooldown": 1},
    {"patience": 2, "factor": 0.5, "mode": "max", "threshold": 0.5, "threshold_mode": "abs"},
    {"patience": 1, "factor": 0.7, "eps": 1e-3},
    {"patience": 1, "factor": 0.0, "min_lr": 0.05},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_takes_the_steps_of_torch(options):
    twins = [torch.nn.Parameter(p.clone()) for p in tree.leaves(PARAMS)]
    twin = torch.optim.SGD([{"params": [twins[0]]}, {"params": [twins[1]], "lr": 0.04}], lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(twin, **options)
    groups = optim.partition({"b": optim.sgd(0.1, 0.9), "w": optim.sgd(0.04, 0.9)}, {"b": "b", "w": "w"})
    optimizer, params = optim.reduce_on_plateau(groups, **options), PARAMS
    state, seen = optimizer.init(params), set()
    for value in losses():
        grads = tree.map(torch.cos, params)
        for parameter, grad in zip(twins, tree.leaves(grads), strict=True):
            parameter.grad = grad.clone()
        twin.step()
        scheduler.step(value)
        updates, state = optimizer.update(grads, state, params, value=value)
        params = optim.apply_updates(params, updates)
        rates = [float(lr) for path, lr in optim.get_hyperparameters(state).items() if path.endswith(".lr")]
        torch.testing.assert_close(rates, [group["lr"] for group in twin.param_groups], rtol=1e-12, atol=0)
        torch.testing.assert_close(tree.leaves(params), [p.detach() for p in twins], rtol=1e-10, atol=1e-12)
        seen.add(tuple(rates))
    assert len(seen) > 1  # something was reduced


def test_compiles_once_and_takes_a_loss_of_any_dtype():
    optimizer = optim.reduce_on_plateau(optim.adam(0.1), patience=1, factor=0.5)

    def step(params, state, value):
        updates, state = optimizer.update(tree.map(torch.cos, params), state, params, value=value)
        return optim.apply_updates(params, updates), state

    fast, params, state = transforms.jit(step), PARAMS, optimizer.init(PARAMS)
    slow, slow_state = params, state
    compiled = None
    for value in losses()[40:52].float():
        params, state = fast(params, state, value)
        slow, slow_state = step(slow, slow_state, value)
        torch.testing.assert_close(tree.leaves((params, state)), tree.leaves((slow, slow_state)))
        compiled = compiled or torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == compiled
    assert optim.get_hyperparameters(state)["optimizer.2.lr"] < 0.1


def test_a_missing_loss_is_named():
    optimizer = optim.reduce_on_plateau(optim.sgd())
    with pytest.raises(ValueError, match=r"reduce_on_plateau.update: got no value; pass it by name: .* value="):
        optimizer.update(PARAMS, optimizer.init(PARAMS), PARAMS)


@pytest.mark.parametrize("wrap", [lambda o: o, lambda o: optim.multi_steps(o, 2), lambda o: optim.lookahead(o)])
def test_a_rate_that_a_schedule_governs_is_refused(wrap):
    value = torch.tensor(1.0)
    optimizer = optim.reduce_on_plateau(wrap(optim.adam(optim.schedules.cosine(0.1, 10))))
    with pytest.raises(ValueError, match=r"'.*\.lr' has a schedule, which would undo each reduction"):
        optimizer.update(PARAMS, optimizer.init(PARAMS), PARAMS, value=value)
    optimizer = optim.reduce_on_plateau(wrap(optim.adam(0.1, weight_decay=optim.schedules.cosine(0.1, 10))))
    optimizer.update(PARAMS, optimizer.init(PARAMS), PARAMS, value=value)
