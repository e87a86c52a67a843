"""Otto's products: the epoch before over-fitting is kept; the figures of the public run on the real table."""

import pytest
import torch
from PIL import Image

from funcdl import train
from recipes.classification import otto
from tests.recipes.small import call, real_data


def run(report=None, **flags):
    return otto.run(otto.Settings(device="cpu", **flags), report or train.Report()).metrics


def test_it_keeps_the_epoch_of_the_lowest_validation_loss(tmp_path, monkeypatch):
    made, said = train.make_evaluate, []

    def make_evaluate(*args, **kwargs):
        evaluate = made(*args, **kwargs)
        return lambda *state: {**evaluate(*state), "val_loss": torch.tensor(said.pop(0))}

    monkeypatch.setattr(train, "make_evaluate", make_evaluate)  # so that it is known which epoch is the best
    report = train.Report(tmp_path)
    said[:] = [3.0, 1.0, 2.0, 1.5]
    found = run(report, lr=0.02, epochs=4)
    report.close()
    rows = {row["epoch"]: row for row in report.rows}
    assert [row["val_loss"] for row in rows.values()] == [3.0, 1.0, 2.0, 1.5]
    assert (found["best_epoch"], found["val_loss"], found["last_val_loss"]) == (2, 1.0, 1.5)
    for name in ("loss", "accuracy", "val_accuracy"):
        assert (found[name], found[f"last_{name}"]) == (rows[2][name], rows[4][name])
    counts = found["confusion"]
    right, all_ = sum(counts[i][i] for i in range(10)), sum(map(sum, counts))
    assert right / all_ == pytest.approx(found["val_accuracy"], abs=1e-6)
    said[:] = [3.0, 1.0]
    stopped = run(lr=0.02, epochs=2)  # its last parameters are the ones that were kept
    for name in ("confusion", "precision", "recall", "f1", "majority"):
        assert found[name] == stopped[name], name
    for name in ("curves", "confusion"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width > 400


def test_it_learns():
    assert run(lr=0.02, epochs=3)["val_accuracy"] > 0.85


def test_the_narrow_network_with_momentum():
    report = train.Report()
    found = run(
        report, network="narrow", optimizer="sgd", optimizer_options="momentum=0.5", lr=0.1, batch_size=32, epochs=3
    )
    assert found["parameters"] == 64 * 64 + 64 + 64 * 32 + 32 + 32 * 16 + 16 + 16 * 10 + 10
    assert report.rows[-1]["loss"] < report.rows[0]["loss"]


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--batch-size", 1439], ["--batch-size 1439", "at most 1438"]),
        (["--lr", 0], ["--lr 0", "positive"]),
        (["--network", "deep"], ["--network", "'deep'"]),
        (["--dataset", "otto", "--data-dir", "nowhere"], ["nowhere/otto/train.csv", "kaggle.com"]),
    ],
)
def test_wrong_flags(tmp_path, monkeypatch, flags, parts):
    monkeypatch.chdir(tmp_path)
    code, out, err = call("run", "otto", *flags, "--out", tmp_path / "run")
    assert (code, out) == (2, [])
    assert all(part in err[-1] for part in parts), err


def test_a_rate_that_is_far_too_high(tmp_path):
    code, _, err = call("run", "otto", "--lr", 1e30, "--epochs", 1, "--out", tmp_path / "run")
    assert code == 2
    assert "not finite" in err[-1]
    assert (tmp_path / "run" / "checkpoint" / "checkpoint.json").exists()


def test_an_unknown_class(tmp_path):
    (tmp_path / "otto").mkdir()
    header = ",".join(["id", *(f"feat_{n}" for n in range(1, 94)), "target"])
    rows = [",".join([str(i), *["0"] * 93, f"Class_{i}"]) for i in (8, 9, 10)]
    (tmp_path / "otto" / "train.csv").write_text("\n".join([header, *rows]))
    code, _, err = call("run", "otto", "--dataset", "otto", "--data-dir", tmp_path, "--out", tmp_path / "run")
    assert code == 2
    assert all(part in err[0] for part in ("train.csv", "line 4", "'target'", "'Class_10'", "Class_1, ")), err


@pytest.mark.full
def test_the_real_products():
    report = train.Report()
    found = run(report, dataset="otto", data_dir=real_data("otto"), epochs=10)
    assert found["parameters"] == 65_801
    assert found["val_loss"] <= 0.55
    assert found["val_accuracy"] >= 0.78
    assert found["best_epoch"] <= 10
    assert found["majority"] == pytest.approx(0.2605, abs=0.01)
    assert found["last_accuracy"] > found["last_val_accuracy"]
