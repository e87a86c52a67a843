import json

import pytest
import torch

from funcdl import train
from recipes.regression import curve_fit, linear_regression
from recipes.settings import SettingsError
from tests.recipes.small import call

SEEDS = range(5)


def line(**settings):
    return linear_regression.run(linear_regression.Settings(device="cpu", **settings), train.Report()).metrics


def curve(**settings):
    return curve_fit.run(curve_fit.Settings(device="cpu", **settings), train.Report()).metrics


@pytest.fixture(scope="module")
def lines():
    return [line(seed=seed) for seed in SEEDS]


def test_the_line_from_zero_is_the_same_for_every_seed_and_falls_at_the_known_rate(lines):
    zero = [{name: value for name, value in found.items() if "_zero" in name} for found in lines]
    assert all(one == zero[0] for one in zero)
    assert zero[0]["first_loss_zero"] == 56.0  # 4 + 16 + 36
    assert f"{lines[0]['late_factor']:.6f}" == "0.985628"
    # 900 epochs at that rate, from epoch 100 to 1000
    assert zero[0]["loss_zero"] == pytest.approx(zero[0]["loss_100_zero"] * 0.985628**900, rel=0.02)


def test_the_line_from_random_starts_arrives(lines):
    assert len({found["first_loss"] for found in lines}) == len(SEEDS)
    for found in lines:
        assert 0 < found["loss_100"] < 2
        assert found["loss"] == pytest.approx(found["loss_100"] * 0.985628**900, rel=0.05)
        assert found["w"] == pytest.approx(2, abs=0.005)
        assert found["b"] == pytest.approx(0, abs=0.01)
        assert found["prediction"] == pytest.approx(8, abs=0.005)


def test_the_handbooks_line():
    for seed in SEEDS:
        found = line(dataset="noisy", seed=seed, epochs=2000)
        assert 0.045 < found["loss"] < 0.085  # the noise has the variance 0.0625
        assert found["w"] == pytest.approx(5, abs=0.4)
        assert found["b"] == pytest.approx(7, abs=0.3)
        assert found["loss"] < 0.02 * found["first_loss"]


def test_all_optimizers_on_the_line():
    found = line(optimizer="all", epochs=500)
    distances = {name: abs(found[f"prediction_{name}"] - 8) for name in linear_regression.OPTIMIZERS}
    assert distances["adagrad"] == max(distances.values())
    assert found["loss_adagrad"] > 0.2 * found["first_loss_adagrad"]  # it has barely moved
    assert distances["rprop"] < 1e-3
    assert distances["lbfgs"] < 0.2
    single = line(optimizer="rprop", epochs=500)
    assert single["prediction"] == found["prediction_rprop"]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_curve_gets_near_the_noise(seed):
    found = curve(seed=seed)
    assert found["parameters"] == 31
    assert found["floor"] == pytest.approx(0.0033, abs=5e-5)
    assert found["loss_90"] < 0.05
    assert 0.003 < found["loss"] < 0.015
    assert found["loss"] < found["loss_90"]


def test_the_fits_on_the_way_bend_to_the_parabola(monkeypatch):
    drawn = {}
    report = train.Report()
    monkeypatch.setattr(report, "picture", drawn.__setitem__)
    found = curve_fit.run(curve_fit.Settings(device="cpu", epochs=120), report).metrics
    assert found["progress_steps"] == [1, 5, 20, 50, 100, 120]
    losses = found["progress_losses"]
    assert losses[0] > 4 * losses[-1]
    assert losses[-1] == found["loss"]
    (axes,) = drawn["progress"].axes
    curves = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert list(curves) == [f"before step {step}" for step in found["progress_steps"]]
    assert curves["before step 120"][0] - curves["before step 120"].min() > 0.6  # a parabola: 1 above its lowest point
    first = curves["before step 1"]
    assert first[50] > min(first[0], first[-1])  # and no parabola yet


def test_other_optimizers_fit_the_curve_and_their_rate_is_their_usual_one():
    assert curve(optimizer="sgd", lr=0.2, epochs=20) == curve(epochs=20)
    assert curve(optimizer="adam", epochs=20) == curve(optimizer="adam", lr=0.001, epochs=20)
    assert curve(optimizer="adam", lr=0.01, epochs=20)["loss"] != curve(epochs=20)["loss"]


def test_momentum_reaches_the_line_sooner_and_all_optimizers_take_no_options():
    fast = line(optimizer_options="momentum=0.5", epochs=100)
    assert fast["loss"] < line(epochs=100)["loss"]
    with pytest.raises(SettingsError, match=r"--optimizer-options momentum=0\.5: is for one --optimizer"):
        linear_regression.Settings(optimizer="all", optimizer_options="momentum=0.5").check()


def test_the_network_in_two_ways_is_one_function():
    found = curve(epochs=5)
    assert found["names"] == ["0.bias", "0.weight", "2.bias", "2.weight"]
    assert {name.split(".")[0] for name in found["other_names"]} == {"hidden", "predict"}
    assert found["same_function"] is True


def test_the_curve_is_saved_and_restored_bit_for_bit_and_no_object_is_unpickled(tmp_path):
    report = train.Report(tmp_path)
    found = curve_fit.run(curve_fit.Settings(lr=0.5, epochs=100, device="cpu"), report).metrics
    assert found["identical"] is True
    assert found["refused"] == "UnpicklingError"
    assert {"params.safetensors", "params.pt", "function", "fit.png", "losses.png"} <= {
        p.name for p in tmp_path.iterdir()
    }
    saved = torch.load(tmp_path / "params.pt", weights_only=True)
    assert sorted(saved) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    kept = train.read_info(tmp_path / "function")
    assert kept == {"network": "sequential", "settings": {"hidden": 10}}


def test_a_restored_curve_that_differs_is_noticed(tmp_path, monkeypatch):
    original = curve_fit.interop.load_torch
    monkeypatch.setattr(
        curve_fit.interop, "load_torch", lambda path: {name: leaf + 1e-3 for name, leaf in original(path).items()}
    )
    found = curve(epochs=5)
    assert found["identical"] is False


def test_the_seed_decides_everything():
    assert curve(seed=1, epochs=20) == curve(seed=1, epochs=20)
    assert curve(seed=1, epochs=20)["loss"] != curve(seed=2, epochs=20)["loss"]


def test_a_curve_that_diverges_says_so(tmp_path):
    code, out, err = call("run", "curve-fit", "--lr", 1000, "--out", tmp_path / "run", "--device", "cpu")
    assert (code, out) == (2, [])
    assert "not finite" in err[-1]
    assert (tmp_path / "run" / "checkpoint" / "checkpoint.json").exists()


@pytest.mark.parametrize(
    ("recipe", "flags", "said"),
    [
        ("linear-regression", ["--lr", "0"], "--lr 0.0: must be a positive number"),
        ("linear-regression", ["--epochs", "-3"], "--epochs -3: must be 1 or more"),
        ("linear-regression", ["--optimizer", "adamw"], "adamw"),
        ("curve-fit", ["--hidden", "0"], "--hidden 0: must be 1 or more"),
        ("curve-fit", ["--lr", "nan"], "--lr nan: must be a positive number"),
    ],
)
def test_impossible_settings_are_refused_in_one_line(recipe, flags, said, tmp_path):
    code, out, err = call("run", recipe, *flags, "--out", tmp_path / "run")
    assert (code, out, len(err)) == (2, [], 1)
    assert said in err[0]


def test_the_line_by_the_command_line(tmp_path):
    code, out, _ = call(
        "run", "linear-regression", "--epochs", 20, "--json", "--device", "cpu", "--out", tmp_path / "run"
    )
    assert (code, len(out)) == (0, 1)
    result = json.loads(out[0])
    assert {"loss", "w", "b", "prediction", "late_factor"} <= result["metrics"].keys()
    assert result["epochs"] == 20
    assert {"fit.png", "losses.png"} <= {path.name for path in (tmp_path / "run").iterdir()}
    code, out, _ = call("run", "linear-regression", "--epochs", 20, "--device", "cpu", "--out", tmp_path / "table")
    assert code == 0
    assert any("31.277143478393555" in text for text in out)
