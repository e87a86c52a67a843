import json

import pytest
import torch

import funcdl as fd
from funcdl import random, train
from recipes.regression import _remedies, _sizes, optimizers, overfitting
from recipes.regression._diagnosis import diagnosis
from recipes.settings import SettingsError
from tests.recipes.small import call

SEEDS = range(5)
NAMES = ["gd", "sgd", "momentum", "adagrad", "adadelta", "rmsprop", "adam"]


def race(**settings):
    return optimizers.run(optimizers.Settings(device="cpu", **settings), train.Report()).metrics


def fit(**settings):
    return overfitting.run(overfitting.Settings(device="cpu", **settings), train.Report()).metrics


@pytest.mark.parametrize("seed", SEEDS)
def test_the_race_of_the_lesson(seed):
    found = race(seed=seed, only="sgd,momentum,rmsprop,adam")
    assert found["steps"] == 384
    assert 0.02 < found["loss_sgd"] < 0.1
    assert 0.009 < found["loss_momentum"] < 0.03
    assert 0.008 < found["loss_rmsprop"] < 0.013
    assert 0.008 < found["loss_adam"] < 0.013
    assert max(found["loss_adam"], found["loss_rmsprop"]) < found["loss_momentum"] < found["loss_sgd"]


def test_every_optimizer_goes_where_torchs_goes():
    found = race(epochs=1)
    assert [name for name in found if name.startswith("loss_")] == [f"loss_{name}" for name in NAMES]
    for name in NAMES:
        assert found[f"difference_{name}"] < 1e-14
    assert found["manual_step"] is True


def test_members_of_a_sweep_are_the_single_runs():
    sweep = race(lr="0.001,0.01,0.1", epochs=1, only="sgd,momentum,adam")
    for name in ("sgd", "momentum", "adam"):
        assert len(sweep[f"loss_{name}"]) == 3
        for index, lr in enumerate(("0.001", "0.01", "0.1")):
            single = race(lr=lr, epochs=1, only=name)
            assert single[f"loss_{name}"] == pytest.approx(sweep[f"loss_{name}"][index], rel=1e-4)
    assert sweep["loss_sgd"] != sweep["loss_momentum"]


def test_compiled_the_sweep_is_one_program_with_the_same_losses():
    def graphs():
        return torch._dynamo.utils.counters["stats"]["unique_graphs"]

    flags = {"lr": "0.001,0.1", "epochs": 1, "only": "sgd,momentum"}
    eager, before = race(**flags), graphs()
    compiled = race(**flags, compile="on")
    assert graphs() - before == 1
    for name in ("sgd", "momentum"):
        assert compiled[f"loss_{name}"] == pytest.approx(eager[f"loss_{name}"], rel=1e-3)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"lr": "0.1,fast"}, "'fast' is no number"),
        ({"lr": "0.1,-1"}, "-1 must be a positive number"),
        ({"lr": "nan"}, "nan must be a positive number"),
        ({"epochs": 0}, "--epochs 0: must be 1 or more"),
        ({"batch_size": 1001}, "--batch-size 1001: must be at most 1000"),
        ({"only": "adam,lion"}, "'lion' is none of gd, sgd"),
    ],
)
def test_impossible_settings_of_the_race(flags, said):
    with pytest.raises(SettingsError, match=said):
        optimizers.Settings(**flags).check()


def test_a_rate_at_which_one_member_diverges_says_so(tmp_path):
    flags = ["--lr", "0.01,1000", "--only", "sgd", "--epochs", 2, "--device", "cpu"]
    code, out, err = call("run", "optimizers", *flags, "--out", tmp_path / "run")
    assert (code, out) == (2, [])
    assert "not finite" in err[-1]


def test_the_race_by_the_command_line(tmp_path):
    flags = ["--lr", "0.01,0.1", "--only", "sgd,adam", "--epochs", 1, "--json", "--device", "cpu"]
    code, out, _ = call("run", "optimizers", *flags, "--out", tmp_path / "run")
    assert (code, len(out)) == (0, 1)
    result = json.loads(out[0])
    assert result["epochs"] == 1
    assert len(result["metrics"]["loss_adam"]) == 2
    assert {"losses.png", "paths.png"} <= {path.name for path in (tmp_path / "run").iterdir()}
    code, again, _ = call("run", "optimizers", "--resume", "--out", tmp_path / "run", "--json", "--device", "cpu")
    assert code == 0
    assert json.loads(again[0])["metrics"] == result["metrics"]


@pytest.fixture(scope="module")
def fits():
    return fit(only="plain,dropout")  # ten seeds at once, as by default


def test_the_plain_networks_overfit(fits):
    assert fits["loss_plain"] < 0.05  # the noise has the variance 0.09
    assert fits["test_loss_plain"] > 1.3 * fits["best_test_loss_plain"]
    assert fits["best_epoch_plain"] < 100
    assert fits["diagnosis_plain"].startswith("learning, and overfitting from about step")


def test_dropout_overfits_less_on_the_mean_of_ten_seeds(fits):
    assert len(fits["test_loss_each_plain"]) == len(fits["test_loss_each_dropout"]) == 10
    assert fits["test_loss_400_dropout"] < fits["test_loss_400_plain"]
    assert fits["gain_dropout"] == pytest.approx(fits["test_loss_plain"] - fits["test_loss_dropout"], rel=1e-4)
    assert fits["gain_dropout"] > 0.01
    assert fits["better_dropout"] > 5
    assert fits["loss_dropout"] > 1.5 * fits["loss_plain"]


def test_members_of_a_run_are_what_each_would_be_alone():
    """A network among zeros in a larger one is the network."""
    small, large = _remedies.network(3), _remedies.network(8)
    x = torch.linspace(-1, 1, 9)[:, None]
    params, like = small.init(random.key(0), x)[0], large.init(random.key(1), x)[0]
    wide = _sizes.padded(params, like)
    torch.testing.assert_close(large(wide, x), small(params, x))
    grads = fd.grad(lambda params: (large(params, x) - 1).square().sum())(wide)
    expected = fd.grad(lambda params: (small(params, x) - 1).square().sum())(params)
    torch.testing.assert_close(grads, _sizes.padded(expected, like))


def test_small_networks_underfit_large_ones_overfit_and_data_helps():
    found = fit(only="size,data")
    training, test = found["sizes_training"], found["sizes_test"]
    assert training[0] > 0.2 > 0.09 > training[-1]
    assert found["size_that_fits"] == 8  # for each of the seeds 0 to 4
    assert found["size_to_keep"] in _sizes.SIZES[2:6]
    assert test[-1] > 1.02 * min(test)
    assert test[0] > 1.5 * min(test)
    network, line = found["data_network"], found["data_line"]
    assert network[-1] < 0.75 * network[0]
    assert network[-1] < 0.7 * line[-1]  # where the line has stopped
    assert line[-1] > 0.9 * line[3]


@pytest.mark.parametrize(
    ("training", "test", "said"),
    [
        ([1.0, 0.99, 0.98], [1.0, 1.0, 1.0], "not learning"),
        ([1.0, 0.5, 0.1], [1.0, 0.6, 0.3], "learning"),
        ([1.0, 0.5, 0.1], [1.0, 0.3, 0.6], "learning, and overfitting from about step"),
        ([1.0, 0.1, 0.5], [1.0, 0.3, 0.6], "learning"),  # the training loss has gone up too
        ([1.0, 0.5, 0.1], [1.0, 0.3, 0.31], "learning"),  # a gap is normal
    ],
)
def test_the_diagnosis_of_curves(training, test, said):
    history = [
        torch.cat([torch.linspace(start, middle, 50), torch.linspace(middle, end, 50)])
        for start, middle, end in (training, test)
    ]
    assert diagnosis(*history).startswith(said)


def test_all_ways_start_alike_and_keep_the_training_loss_up():
    found = fit(epochs=150, hidden=30, seeds=3)
    for way in ("dropout", "l1", "l2", "noise"):
        assert found[f"loss_{way}"] > found["loss_plain"]
    first = fit(epochs=1, hidden=30, seeds=2)
    assert len({first[f"loss_{way}"] for way in overfitting.REMEDIES}) == 1


def test_a_network_that_does_not_learn_is_told_so():
    found = fit(epochs=20, lr=1e-7, only="plain", hidden=20)
    assert found["diagnosis_plain"].startswith("not learning")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"l1": -1.0}, "--l1 -1.0"),
        ({"noise": float("inf")}, "--noise inf"),
        ({"only": "drop"}, "'drop' is none of plain"),
    ],
)
def test_impossible_settings_of_the_remedies(flags, said):
    with pytest.raises(SettingsError, match=said):
        overfitting.Settings(**flags).check()


def test_overfitting_draws(tmp_path):
    report = train.Report(tmp_path)
    overfitting.run(overfitting.Settings(epochs=20, hidden=30, seeds=3, device="cpu"), report)
    assert {"curves.png", "fit.png", "size.png", "data.png"} <= {path.name for path in tmp_path.iterdir()}
    assert report.rows[-1]["test_loss"] > 0
