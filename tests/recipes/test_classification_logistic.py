"""The lecture's three students: its figures, its boundary, and what a shorter run lacks."""

import json
import math

import pytest
from PIL import Image

from funcdl import train
from recipes.classification import logistic
from tests.recipes.small import call
from tests.recipes.test_cli import KEYS


def run(**flags):
    return logistic.run(logistic.Settings(device="cpu", **flags), train.Report()).metrics


def by_hand(epochs, lr=0.01):
    """Descent in Python's float64 with the derivatives written out; returns the last w, b and every loss before."""
    w = b = 0.0
    losses = []
    for _ in range(epochs):
        probabilities = [1 / (1 + math.exp(-(w * x + b))) for x in (1, 2, 3)]
        errors = [p - y for p, y in zip(probabilities, (0, 0, 1), strict=True)]
        losses.append(-math.log(1 - probabilities[0]) - math.log(1 - probabilities[1]) - math.log(probabilities[2]))
        w -= lr * sum(error * x for error, x in zip(errors, (1, 2, 3), strict=True))
        b -= lr * sum(errors)
    return w, b, losses


def test_from_zero_the_course_is_that_of_the_derivation():
    report = train.Report()
    found = logistic.run(logistic.Settings(device="cpu"), report).metrics
    w, b, losses = by_hand(1000)
    assert round(found["first_loss"], 4) == round(3 * math.log(2), 4) == 2.0794
    assert (found["w"], found["b"]) == pytest.approx((w, b), abs=1e-4)
    assert round(found["boundary"], 2) == 2.42
    assert found["boundary"] == pytest.approx(-b / w, abs=1e-4)
    assert found["prediction"] == pytest.approx(1 / (1 + math.exp(-(4 * w + b))), abs=1e-5)
    assert [p > 0.5 for p in found["probabilities"]] == [False, False, True]
    assert [row["epoch"] for row in report.rows] == list(range(100, 1001, 100))
    for row in report.rows:
        assert row["loss"] == pytest.approx(losses[int(row["epoch"]) - 1], abs=1e-5)


def test_a_hundred_epochs_are_visibly_too_few():
    found = run(epochs=100)
    assert found["boundary"] == pytest.approx(-by_hand(100)[1] / by_hand(100)[0], abs=1e-3)
    assert abs(found["boundary"] - 2.42) > 0.3


def test_one_step_from_zero_leaves_no_boundary(tmp_path):
    report = train.Report(tmp_path)
    found = logistic.run(logistic.Settings(device="cpu", epochs=1), report).metrics
    report.close()
    assert (found["w"], found["boundary"]) == (0, "none yet")
    assert found["b"] == pytest.approx(-0.005)
    assert (tmp_path / "logistic.png").exists()


def test_from_random_starts_the_boundary_is_near():
    for seed in range(5):
        found = run(start="random", seed=seed, lr=0.1, epochs=100)  # a tenth of the steps, each ten times as long
        assert 2.2 < found["boundary"] < 2.6, seed
        assert found["loss"] < found["first_loss"]
    assert run(start="random", seed=1, epochs=5) == run(start="random", seed=1, epochs=5)


def test_on_the_command_line_it_prints_one_object_and_leaves_a_picture(tmp_path):
    code, out, err = call("run", "logistic", "--epochs", 50, "--out", tmp_path / "run", "--json", "--seed", 3)
    assert code == 0, err
    assert len(out) == 1
    result = json.loads(out[0])
    assert list(result) == KEYS
    assert (result["recipe"], result["dataset"], result["seed"], result["epochs"]) == ("logistic", "sample", 3, 50)
    assert result["metrics"].keys() == {"first_loss", "loss", "w", "b", "boundary", "prediction", "probabilities"}
    with Image.open(tmp_path / "run" / "logistic.png") as picture:
        assert picture.width > 600
    code, out, _ = call("run", "logistic", "--epochs", 50, "--out", tmp_path / "other")
    assert code == 0
    assert any("expression" in line and "tutorial" in line for line in out)
