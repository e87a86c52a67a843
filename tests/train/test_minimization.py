import math

import pytest
import torch

import funcdl as fd
from funcdl import optim, train

X = torch.linspace(-1, 1, 9)


def objective(params, x):
    return ((params["w"] * X + params["b"] - (3 * X + 1)) ** 2).mean()


def start():
    return {"w": torch.zeros(()), "b": torch.zeros(())}


def test_it_is_the_plain_loop():
    params, history = train.minimize(fd.value_and_grad(objective), start(), optim.adam(lr=0.1), steps=7)
    expected, optimizer = start(), optim.adam(lr=0.1)
    state, losses = optimizer.init(expected), []
    for _ in range(7):
        loss, grads = fd.value_and_grad(objective)(expected, ())
        losses.append(loss)
        updates, state = optimizer.update(grads, state, expected)
        expected = optim.apply_updates(expected, updates)
    assert torch.equal(history["loss"], torch.stack(losses))
    assert all(torch.equal(params[name], expected[name]) for name in params)


def test_compiled_it_is_one_program_with_the_same_course():
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    arguments = fd.value_and_grad(objective), start(), optim.sgd(lr=0.1)
    _, compiled = train.minimize(*arguments, steps=30, compile=True)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before + 1
    torch.testing.assert_close(compiled, train.minimize(*arguments, steps=30)[1])


def test_each_step_is_given_its_x_and_measured_before_it():
    noisy = fd.value_and_grad(lambda w, x: (w - x) ** 2)
    targets = torch.tensor([1.0, 5.0, 2.0])
    w, history = train.minimize(
        noisy, torch.tensor(0.0), optim.sgd(lr=0.5), targets, measure=lambda w, x: {"seen": w, "given": x}
    )
    assert torch.equal(history["given"], targets)
    assert torch.equal(history["seen"], torch.tensor([0.0, 1.0, 5.0]))  # a rate of a half goes all the way
    assert w == 2


def test_what_diverges_is_refused_and_the_last_finite_state_saved(tmp_path):
    report = train.Report(tmp_path)
    slope = fd.value_and_grad(objective)
    with pytest.raises(train.NonFiniteLossError, match="lower learning rate; the last finite state is in"):
        train.minimize(slope, start(), optim.sgd(lr=100.0), steps=50, report=report)
    saved, _ = train.load(tmp_path / "checkpoint", start())
    assert math.isfinite(objective(saved, ()))
    further, _ = train.minimize(slope, saved, optim.sgd(lr=100.0), steps=1, may_diverge=True)
    assert not math.isfinite(objective(further, ()))
    assert all(math.isfinite(row["loss"]) for row in report.rows)
    _, history = train.minimize(slope, start(), optim.sgd(lr=100.0), steps=50, may_diverge=True)
    assert not torch.isfinite(history["loss"][-1])


def test_a_last_step_into_infinity_is_refused_too():
    with pytest.raises(train.NonFiniteLossError, match="after step 1"):
        train.minimize(lambda w, x: (w.sum(), w * 1e30), torch.ones(2) * 1e30, optim.sgd(lr=1.0), steps=1)


def test_rows_are_spread_over_the_epochs_and_the_last_parameters_saved(tmp_path):
    report = train.Report(tmp_path)
    arguments = fd.value_and_grad(objective), start(), optim.sgd(lr=0.1)
    params, history = train.minimize(*arguments, steps=40, report=report, info={"device": "cpu"})
    assert [row["epoch"] for row in report.rows] == [1, *range(4, 41, 4)]
    assert [row["loss"] for row in report.rows] == [history["loss"][row["epoch"] - 1].item() for row in report.rows]
    saved, info = train.load(tmp_path / "checkpoint", start())
    assert all(torch.equal(saved[name], params[name]) for name in params)
    assert info == {"run": {"device": "cpu"}}
    train.minimize(*arguments, steps=3, report=report, rows=False)
    assert len(report.rows) == 11
