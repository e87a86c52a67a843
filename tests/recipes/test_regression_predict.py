"""Predictions of the regression recipes: what they fitted, at numbers of the user's."""

import json

import pytest

from tests.recipes.small import call

RUNS = {
    "thermometer": (["--epochs", 5], "t_u", (35.7, 100)),
    "thermometer-network": (["--epochs", 5], "t_u", (35.7, 100)),
    "linear-regression": (["--epochs", 5], "x", (2, 4)),
    "curve-fit": (["--epochs", 5], "x", (0.5, 3)),
}


@pytest.mark.parametrize("recipe", RUNS)
def test_a_run_predicts_and_says_what_is_outside_of_its_data(recipe, tmp_path):
    flags, column, (inside, outside) = RUNS[recipe]
    code, _, err = call("run", recipe, *flags, "--device", "cpu", "--out", tmp_path / "run")
    assert code == 0, err
    (tmp_path / "in.csv").write_text(f"{column}\n{inside}\n{outside}\n")
    code, out, err = call("predict", tmp_path / "run", inside, outside, tmp_path / "in.csv", "--json")
    assert code == 0, err
    found = json.loads(out[0])
    assert [one["input"] for one in found[:2]] == [str(inside), str(outside)]
    predicted = [one["prediction"] for one in found]
    assert predicted[:2] == predicted[2:]
    assert predicted[0] != predicted[1]
    assert [bool(one["notes"]) for one in found] == [False, True, False, True]
    code, out, err = call("predict", tmp_path / "run", "warm")
    assert (code, out, len(err)) == (2, [], 1)
    assert column in err[0]


def test_the_prediction_is_that_of_the_fitted_line(tmp_path):
    flags = ["--epochs", 2000, "--method", "adam", "--inputs", "raw", "--lr", 0.1, "--device", "cpu"]
    code, out, _ = call("run", "thermometer", *flags, "--json", "--out", tmp_path / "run")
    assert code == 0
    found = json.loads(out[0])["metrics"]
    code, out, _ = call("predict", tmp_path / "run", "50", "--json")
    assert json.loads(out[0])[0]["prediction"] == pytest.approx(50 * found["w"] + found["b"], rel=1e-5)
    assert json.loads(out[0])[0]["prediction"] == pytest.approx((50 - 32) / 1.8, abs=0.7)  # Fahrenheit


def test_the_lectures_prediction(tmp_path):
    code, out, _ = call("run", "linear-regression", "--json", "--device", "cpu", "--out", tmp_path / "run")
    assert code == 0
    code, out, _ = call("predict", tmp_path / "run", "4", "--json")
    assert json.loads(out[0])[0]["prediction"] == pytest.approx(8, abs=0.005)
