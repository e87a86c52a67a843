"""German credit: the handbook's figures, and what its sigmoid costs."""

import math

import pytest
from PIL import Image

from funcdl import train
from recipes.classification import credit
from tests.recipes.small import call, real_data


def run(report=None, **flags):
    return credit.run(credit.Settings(device="cpu", **flags), report or train.Report()).metrics


def test_a_sigmoid_has_a_floor_that_raw_outputs_have_not(tmp_path):
    report = train.Report(tmp_path)
    squashed = run(report, epochs=200, lr=0.05)
    report.close()
    raw = run(epochs=200, lr=0.05, outputs="raw")
    assert squashed["parameters"] == raw["parameters"] == 62
    assert squashed["floor"] == pytest.approx(math.log(1 + math.exp(-1)), abs=1e-6)
    assert raw["loss"] < 0.1 < 0.3133 < squashed["loss"] < 0.36
    assert squashed["test_accuracy"] > squashed["majority"] + 0.3
    assert [row["epoch"] for row in report.rows] == list(range(20, 201, 20))
    for name in ("curves", "confusion"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width > 400


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        (" ".join(["1"] * 24 + ["3"]), ["row 2", "column 25", "3"]),
        (" ".join(["1"] * 24), ["line 2", "24 columns", "expected 25"]),
        (" ".join(["1"] * 23 + ["x", "1"]), ["line 2", "column 24", "'x'"]),
    ],
)
def test_a_damaged_table(tmp_path, line, parts):
    (tmp_path / "credit").mkdir()
    good = " ".join(["1"] * 24 + ["2"])
    (tmp_path / "credit" / "german.data-numeric").write_text(f"{good}\n{line}\n{good}\n")
    code, _, err = call("run", "credit", "--dataset", "credit", "--data-dir", tmp_path, "--out", tmp_path / "run")
    assert code == 2
    assert all(part in err[0] for part in ["german.data-numeric", *parts]), err


@pytest.mark.full
@pytest.mark.parametrize("seed", range(5))
def test_the_handbooks_figures(seed):
    report = train.Report()
    found = run(report, dataset="credit", data_dir=real_data("credit"), seed=seed)
    assert found["parameters"] == 50
    assert found["loss"] == pytest.approx(0.5496, abs=0.02)
    assert report.rows[0]["loss"] == pytest.approx(0.6313, abs=0.05)
    assert 0.66 <= found["test_accuracy"] <= 0.88
    assert found["accuracy"] >= 0.74


@pytest.mark.full
def test_raw_outputs_learn_faster():
    flags = {"dataset": "credit", "data_dir": real_data("credit"), "epochs": 300}
    assert run(**flags, outputs="raw")["accuracy"] >= run(**flags)["accuracy"]
