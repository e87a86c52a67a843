"""The lecture's network on diabetes: it learns the prior, and with other settings more than that."""

import os
import signal

import pytest
from PIL import Image

from funcdl import train
from recipes.classification import diabetes
from tests.recipes.small import call, left_in, real_data


def run(report=None, **flags):
    return diabetes.run(diabetes.Settings(device="cpu", **flags), report or train.Report()).metrics


def test_the_lectures_settings_learn_only_the_prior(tmp_path):
    report = train.Report(tmp_path)
    found = run(report)
    report.close()
    assert found["parameters"] == 87
    assert found["loss"] == pytest.approx(found["prior_loss"], abs=0.002)
    assert found["accuracy"] == found["majority"] == pytest.approx(357 / 569)
    assert found["range"][1] - found["range"][0] < 0.1
    assert found["recall"] == [0, 1]
    assert [row["epoch"] for row in report.rows] == list(range(10, 101, 10))
    for name in ("curves", "confusion"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width > 400


def test_another_activation_learns_more():
    found = run(activation="relu", epochs=300)
    assert found["accuracy"] > found["majority"] + 0.2
    assert found["loss"] < found["prior_loss"] / 2


def test_the_sum_of_losses_at_a_rate_divided_by_the_rows_is_their_mean():
    by_mean, by_sum = run(epochs=20, lr=0.1), run(epochs=20, lr=0.1 / 569, reduction="sum")
    assert by_sum["loss"] == pytest.approx(by_mean["loss"], abs=1e-5)


def test_mini_batches_make_many_steps_and_stay_at_the_prior():
    report = train.Report()
    found = run(report, batch_size=32, lr=0.01, epochs=3)
    assert found["loss"] == pytest.approx(found["prior_loss"], abs=0.03)
    assert [row["epoch"] for row in report.rows] == [1, 2, 3]


@pytest.mark.parametrize("activation", ["tanh", "leaky_relu", "elu", "softplus"])
def test_every_activation_trains(activation):
    report = train.Report()
    run(report, activation=activation, epochs=4)
    assert report.rows[-1]["loss"] < report.rows[0]["loss"]


def test_a_run_cut_between_its_rows_resumes_to_the_same_bytes(tmp_path, monkeypatch):
    flags = ("--epochs", 25, "--device", "cpu")
    assert call("run", "diabetes", *flags, "--out", tmp_path / "whole")[0] == 0
    make_step, calls = train.make_step, []

    def cut(*args, **kwargs):
        step = make_step(*args, **kwargs)

        def counted(state, batch):
            calls.append(1)
            if len(calls) == 14:
                os.kill(os.getpid(), signal.SIGINT)
            return step(state, batch)

        return counted

    with monkeypatch.context() as patch:
        patch.setattr(train, "make_step", cut)
        code, _, err = call("run", "diabetes", *flags, "--out", tmp_path / "cut")
        assert (code, "and saved" in err[-1]) == (130, True)
    assert call("run", "diabetes", "--resume", "--out", tmp_path / "cut")[0] == 0
    assert left_in(tmp_path / "cut") == left_in(tmp_path / "whole")


@pytest.mark.full
@pytest.mark.parametrize("seed", range(5))
def test_the_lectures_table_stays_at_the_prior(seed):
    found = run(dataset="diabetes", data_dir=real_data("diabetes"), seed=seed)
    assert found["loss"] == pytest.approx(found["prior_loss"], abs=0.002)
    assert round(found["prior_loss"], 3) == 0.645
    assert round(found["accuracy"], 4) == 0.6535
    assert found["accuracy"] == found["majority"]


@pytest.mark.full
@pytest.mark.parametrize("seed", range(5))
def test_the_settings_that_learn_do(seed):
    found = run(dataset="diabetes", data_dir=real_data("diabetes"), activation="relu", epochs=1000, seed=seed)
    assert found["accuracy"] >= 0.75
    assert found["loss"] < 0.5


@pytest.mark.full
def test_mini_batches_of_the_lectures_table_stay_near_the_prior():
    found = run(dataset="diabetes", data_dir=real_data("diabetes"), batch_size=32, lr=0.01, epochs=40)
    assert 0.63 < found["loss"] < 0.66
