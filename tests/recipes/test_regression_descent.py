import json
import math

import pytest
import torch

from funcdl import train
from recipes.regression import gradient_descent, linear_grid, quadratic, stochastic_gradient_descent
from tests.recipes.small import call

X, Y = (1.0, 2.0, 3.0), (2.0, 4.0, 6.0)
PICTURES = {
    "gradient-descent": ["descent"],
    "stochastic-gradient-descent": ["descent"],
    "quadratic": ["fit"],
    "linear-grid": ["curve", "surface"],
}


def run(module, **settings):
    settings = module.Settings(**settings)
    settings.check()
    return module.run(settings, train.Report())


def plain_descent(lr, epochs=100):
    """The lecture's loop over Python's floats; the cost and w of each epoch, and the last w."""
    w, log = 1.0, []
    for _ in range(epochs):
        cost = sum((x * w - y) ** 2 for x, y in zip(X, Y, strict=True)) / 3
        log.append((cost, w))
        gradient = 0.0
        for x, y in zip(X, Y, strict=True):
            gradient += 2 * x * (x * w - y)
        w -= lr * (gradient / 3)
    return log, w


@pytest.mark.parametrize("lr", [0.01, 0.1, 1.0])
def test_gradient_descent_has_every_digit_of_a_plain_loop(lr):
    metrics = run(gradient_descent, lr=lr).metrics
    log, w = plain_descent(lr)
    assert list(zip(metrics["loss_log"], metrics["w_log"], strict=True)) == log
    assert metrics["w"] == w


def test_gradient_descent_prints_the_lecture_s_log_at_rate_001():
    outcome = run(gradient_descent)
    metrics = outcome.metrics
    assert metrics["loss_log"][:3] == [4.666666666666667, 3.8362074074074086, 3.1535329869958857]
    assert metrics["w_log"][0] == 1.0
    assert metrics["w_log"][99] == 1.9999387202080534
    assert metrics["w"] == 1.9999444396553017
    assert metrics["prediction"] == 7.999777758621207
    assert [round(w, 2) for w in metrics["w_log"][1:4]] == [1.09, 1.18, 1.25]
    lines = {line.expression: line for line in outcome.lesson.lines}
    prediction = lines["prediction for 4 hours of study: 4 w"]
    assert prediction.result == prediction.tutorial == "7.999777758621207"
    assert metrics["diverges"] is False
    assert not any("diverges" in remark for remark in outcome.lesson.remarks)


def test_gradient_descent_prints_the_lecture_s_log_at_rate_01():
    metrics = run(gradient_descent, lr=0.1).metrics
    log = list(zip(metrics["loss_log"], metrics["w_log"], strict=True))
    assert log[1] == (0.020740740740740594, 1.9333333333333336)
    assert log[13] == (1.791371638939381e-30, 1.9999999999999993)
    assert log[14] == (0.0, 2.0)
    assert (metrics["w"], metrics["prediction"]) == (2.0, 8.0)
    assert metrics["factor"] == pytest.approx(1 / 15)


def test_gradient_descent_follows_the_divergence_at_rate_1_and_says_so():
    outcome = run(gradient_descent, lr=1.0)
    metrics = outcome.metrics
    log = list(zip(metrics["loss_log"], metrics["w_log"], strict=True))
    assert log[1] == (324.0740740740741, 10.333333333333334)
    assert log[99] == (9.797608092075583e182, 1.4489608166896407e91)
    assert metrics["loss"] == 9.797608092075583e182
    assert metrics["prediction"] == -4.829869388965469e92
    assert metrics["factor"] == pytest.approx(-25 / 3)
    assert metrics["limit"] == pytest.approx(3 / 14)
    assert metrics["one_step"] == pytest.approx(3 / 28)
    assert metrics["diverges"] is True
    assert any("Rate 1 diverges" in remark and "3/14 = 0.2143" in remark for remark in outcome.lesson.remarks)


@pytest.mark.parametrize(("lr", "diverges"), [(0.2142, False), (0.2143, True)])
def test_gradient_descent_diverges_from_three_fourteenths_on(lr, diverges):
    metrics = run(gradient_descent, lr=lr).metrics
    assert metrics["diverges"] is diverges
    assert (abs(metrics["w"] - 2) > 1) is diverges


def test_gradient_descent_ends_at_the_last_finite_numbers(tmp_path):
    report = train.Report(tmp_path)
    outcome = gradient_descent.run(gradient_descent.Settings(lr=1.0, epochs=300), report)
    report.close()
    assert math.isfinite(outcome.metrics["w"])
    assert math.isfinite(outcome.metrics["loss"])
    assert all(map(math.isfinite, outcome.metrics["loss_log"]))
    assert 160 < len(outcome.metrics["loss_log"]) < 300
    assert any("overflow" in remark for remark in outcome.lesson.remarks)
    json.loads(json.dumps(outcome.metrics, allow_nan=False))
    saved, _ = train.load(tmp_path / "checkpoint", torch.zeros((), dtype=torch.float64))
    assert torch.isfinite(saved)


def test_gradient_descent_shows_the_gradient_by_three_ways():
    metrics = run(gradient_descent).metrics
    for way in ("hand", "backward", "grad"):
        assert metrics[f"gradient_{way}"] == pytest.approx(-28 / 3, rel=1e-15)
    assert metrics["same_backward"] < 1e-14
    assert metrics["same_grad"] < 1e-14
    assert metrics["curvature"] == pytest.approx(28 / 3)


def test_stochastic_gradient_descent_has_the_lecture_s_figures_and_every_digit_of_a_plain_loop():
    metrics = run(stochastic_gradient_descent).metrics
    w, gradients, ends = 1.0, [], []
    for _ in range(100):
        for x, y in zip(X, Y, strict=True):
            gradients.append(2 * x * (x * w - y))
            w = w - 0.01 * gradients[-1]
            loss = (x * w - y) ** 2
        ends.append((w, loss))
    assert metrics["first_gradients"] == [-2.0, -7.84, -16.2288]
    assert metrics["epoch_1"] == [1.260688, 4.919240100095999]
    assert metrics["first_gradients"] == gradients[:3]
    assert list(zip(metrics["w_log"], metrics["loss_log"], strict=True)) == ends
    assert metrics["w"] == w
    assert metrics["prediction"] == 4 * w
    assert metrics["w_grad"] == pytest.approx(w, rel=1e-14)


def test_batches_lie_between_one_sample_and_all():
    metrics = run(stochastic_gradient_descent).metrics
    updates, ends, scatter = zip(*(metrics[f"batch_{size}"] for size in (1, 2, 3)), strict=True)
    assert updates == (3, 2, 1)
    assert ends[0] == 1.260688
    assert ends[0] > ends[1] > ends[2] == pytest.approx(1 + 0.28 / 3)
    assert scatter[0] > scatter[1] > scatter[2] == 0
    whole = run(stochastic_gradient_descent, batch_size=3).metrics
    assert whole["w"] == pytest.approx(1.9999444396553017, rel=1e-14)
    two = run(stochastic_gradient_descent, batch_size=2, epochs=1).metrics
    w = 1 + 0.01 * (2 + 8) / 2
    assert two["w"] == pytest.approx(w - 0.01 * 6 * (3 * w - 6))


def test_quadratic_has_the_lecture_s_figures_by_every_way():
    metrics = run(quadratic).metrics
    assert metrics["w"] == 1.9999996423721313
    assert metrics["prediction"] == 7.999998569488525
    assert metrics["w_grad"] == metrics["w"]
    assert metrics["gradient_hand"] == metrics["gradient_backward"] == metrics["gradient_grad"] == [24, 12, 6]
    for way in ("backward", "grad"):
        assert metrics[f"params_{way}"] == pytest.approx(metrics["params_hand"], rel=1e-5)
    assert metrics["w1"] == metrics["params_grad"][0]
    assert 8.3 < metrics["prediction_parabola"] < 9
    prediction = 16 * metrics["w1"] + 4 * metrics["w2"] + metrics["b"]
    assert metrics["prediction_parabola"] == pytest.approx(prediction)


def test_quadratic_equals_torch_s_own_step():
    w1, w2, b = (torch.ones((), requires_grad=True) for _ in range(3))
    optimizer = torch.optim.SGD([w1, w2, b], lr=0.01)
    for _ in range(100):
        for x, y in zip(X, Y, strict=True):
            optimizer.zero_grad()
            ((w1 * x**2 + w2 * x + b - y) ** 2).backward()
            optimizer.step()
    assert run(quadratic).metrics["params_backward"] == pytest.approx([w.item() for w in (w1, w2, b)], rel=1e-5)


def test_linear_grid_has_the_lecture_s_costs():
    metrics = run(linear_grid).metrics
    assert metrics["grid"] == 41
    assert [round(cost, 4) for cost in metrics["curve"]] == [18.6667, 4.6667, 0, 4.6667, 18.6667]
    assert metrics["formula"] < 1e-13
    assert (metrics["w"], metrics["loss"]) == (2.0, 0.0)
    assert metrics["surface"] == [41, 41]
    assert (metrics["lowest"], metrics["lowest_cost"]) == ([2.0, 0.0], 0.0)
    assert metrics["descended"] == pytest.approx([2, 0], abs=0.05)


@pytest.mark.parametrize("recipe", PICTURES)
def test_the_command_line_writes_pictures_and_one_line_of_json(recipe, tmp_path):
    code, out, err = call("run", recipe, "--out", tmp_path / "run", "--json")
    assert code == 0, err
    assert len(out) == 1
    result = json.loads(out[0])
    assert (result["recipe"], result["dataset"], result["compiled"]) == (recipe, "sample", False)
    assert result["metrics"].keys() >= {"loss", "w1" if recipe == "quadratic" else "w"}
    for picture in PICTURES[recipe]:
        assert (tmp_path / "run" / f"{picture}.png").stat().st_size > 10_000
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["epoch"] == 1
    assert rows[-1]["epoch"] == result["epochs"]
    assert rows[-1]["loss"] < rows[0]["loss"]


@pytest.mark.parametrize("recipe", PICTURES)
@pytest.mark.parametrize(
    ("flag", "message"),
    [
        (("--lr", "0"), "--lr 0.0: must be a positive number"),
        (("--lr", "-1"), "--lr -1.0: must be a positive number"),
        (("--lr", "nan"), "--lr nan: must be a positive number"),
        (("--epochs", "0"), "--epochs 0: must be 1 or more"),
        (("--epochs", "many"), "--epochs"),
    ],
)
def test_impossible_rates_and_epochs_are_one_line(recipe, flag, message, tmp_path):
    code, out, err = call("run", recipe, *flag, "--out", tmp_path / "run")
    assert (code, out, len(err)) == (2, [], 1)
    assert message in err[0]


@pytest.mark.parametrize("recipe", ["stochastic-gradient-descent", "quadratic", "linear-grid"])
def test_a_loss_that_is_not_finite_ends_the_run_with_the_last_finite_state(recipe, tmp_path):
    code, _, err = call("run", recipe, "--lr", 10, "--epochs", 400, "--out", tmp_path / "run")
    assert code == 2
    assert "the loss is not finite" in err[-1]
    assert (tmp_path / "run" / "checkpoint" / "checkpoint.json").exists()


def test_a_batch_of_more_than_three_is_refused(tmp_path):
    code, _, err = call("run", "stochastic-gradient-descent", "--batch-size", 4, "--out", tmp_path / "run")
    assert code == 2
    assert "--batch-size 4: must be at most 3" in err[-1]
