"""The recipes of digits that compare networks."""

import json

import pytest
from PIL import Image

from funcdl import data, train
from funcdl.models.residual import VARIANTS
from recipes import training
from recipes.vision import digits_cnn_deep, digits_identity
from tests.recipes.small import call, left_in

FLAGS = ("--epochs", 1, "--batch-size", 32, "--device", "cpu")
KEYS = {
    "loss", "accuracy", "test_loss", "test_accuracy", "parameters", "multiply_adds", "seconds",
}  # fmt: skip


@pytest.mark.usefixtures("small_data")
def test_three_sizes_of_a_cnn(tmp_path):
    code, out, err = call("run", "digits-cnn-deep", *FLAGS, "--json", "--out", tmp_path / "run")
    assert code == 0, err
    metrics = json.loads(out[-1])["metrics"]
    assert "features.0: conv2d, (1, 8, 28, 28), 80 parameters" in metrics.pop("layers")
    assert list(metrics) == ["S", "M", "L"]
    assert all(one.keys() == KEYS for one in metrics.values())
    by_hand = {
        name: (
            9 * (a + a * b + b * c) + a + b + c + 9 * c * d + d + d * e + e + 10 * e + 10,
            784 * 9 * a + 196 * 9 * a * b + 49 * 9 * b * c + 9 * c * d + d * e + 10 * e,
        )
        for name, (a, b, c, d, e) in {
            "S": (8, 16, 32, 64, 32),
            "M": (16, 32, 64, 128, 64),
            "L": (32, 64, 128, 256, 128),
        }.items()
    }
    assert {name: (one["parameters"], one["multiply_adds"]) for name, one in metrics.items()} == by_hand
    assert metrics["M"]["parameters"] == 106_058
    for name in metrics:
        row = json.loads((tmp_path / "run" / name / "metrics.jsonl").read_text())
        assert row["test_accuracy"] == metrics[name]["test_accuracy"]
    with Image.open(tmp_path / "run" / "comparison.png") as picture:
        assert min(picture.size) > 200


@pytest.mark.usefixtures("small_data")
def test_all_residual_blocks():
    settings = digits_identity.Settings(epochs=1, batch_size=32, device="cpu")
    outcome = digits_identity.run(settings, train.Report())
    assert "all: 41,514 parameters" in outcome.metrics.pop("layers")
    assert list(outcome.metrics) == list(VARIANTS)
    extra = {name: one["parameters"] - 41_514 for name, one in outcome.metrics.items() if one["parameters"] != 41_514}
    projection = 16 * 16 + 16 + 32 * 32 + 32
    assert extra == {
        "exclusive-gate": projection, "shortcut-gate": projection, "conv-shortcut": projection,
        "bn-after-add": 2 * 48, "relu-preactivation": 4 * 48, "full-preactivation": 4 * 48,
    }  # fmt: skip
    assert len({one["loss"] for one in outcome.metrics.values()}) == len(VARIANTS)
    assert outcome.metrics["conv-shortcut"]["multiply_adds"] > outcome.metrics["original"]["multiply_adds"]
    says = {line.expression: line.tutorial for line in outcome.lesson.lines}
    assert says["original"].startswith("6.61 %")
    assert says["full-preactivation"].startswith("6.37 %")


@pytest.mark.usefixtures("small_data")
def test_one_network_alone_is_what_it_is_among_all():
    settings = {"epochs": 1, "batch_size": 32, "device": "cpu", "seed": 2}
    together = digits_cnn_deep.run(digits_cnn_deep.Settings(**settings), train.Report())
    alone = digits_cnn_deep.run(digits_cnn_deep.Settings(**settings, size="S"), train.Report())
    assert list(alone.metrics) == ["layers", "S"]
    for outcome in (together, alone):
        del outcome.metrics["S"]["seconds"]
    assert alone.metrics["S"] == together.metrics["S"]


@pytest.mark.usefixtures("small_data")
def test_interrupted_between_networks_it_goes_on_with_the_one_it_was_at(tmp_path, monkeypatch):
    assert call("run", "digits-cnn-deep", *FLAGS, "--out", tmp_path / "whole")[0] == 0
    fit, begun = training.fit, []

    def stop(settings, report, *arguments, **options):
        begun.append(report.directory.name)
        if report.directory.name == "M":
            raise KeyboardInterrupt
        return fit(settings, report, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(training, "fit", stop)
        code, _, err = call("run", "digits-cnn-deep", *FLAGS, "--out", tmp_path / "cut")
    assert code == 130
    assert "--resume" in err[-1]
    assert begun == ["S", "M"]
    before = (tmp_path / "cut" / "S" / "metrics.jsonl").read_bytes()
    code, out, err = call("run", "digits-cnn-deep", "--resume", "--out", tmp_path / "cut")
    assert code == 0, err
    assert (tmp_path / "cut" / "S" / "metrics.jsonl").read_bytes() == before  # its epoch is not made again
    for name in "SML":
        assert left_in(tmp_path / "cut" / name) == left_in(tmp_path / "whole" / name)
    assert any("106,058" in line for line in out)


def test_on_the_sample_every_network_reads_nearly_all_digits(tmp_path):
    """All of them learn, so that no network looks like one that cannot."""
    accuracies = [
        digits_cnn_deep.run(digits_cnn_deep.Settings(seed=seed, size=size), train.Report()).metrics[size]
        for seed in (0, 1)
        for size in ("S", "M")
    ] + list(digits_identity.run(digits_identity.Settings(), train.Report()).metrics.values())[1:]
    accuracies = [one["test_accuracy"] for one in accuracies]
    assert min(accuracies) >= 0.9, accuracies
    assert sum(accuracies) / len(accuracies) >= 0.955, accuracies


@pytest.mark.usefixtures("small_data")
def test_optimizers_are_compared_and_each_of_the_networks_predicts(tmp_path):
    code, out, err = call(
        "run", "digits-convnet", "--compare-optimizers", *FLAGS, "--out", tmp_path / "run", "--json"
    )  # fmt: skip
    assert code == 0, err
    metrics = json.loads(out[-1])["metrics"]
    names = ["adadelta", "sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw"]
    assert list(metrics) == ["layers", *names]
    assert len({metrics[name]["loss"] for name in names}) == 7
    assert metrics["momentum"]["test_loss"] < metrics["sgd"]["test_loss"]
    with Image.open(tmp_path / "run" / "comparison.png") as picture:
        assert min(picture.size) > 200
    Image.fromarray(data.digits().test[0][3, 0].numpy()).save(tmp_path / "digit.png")
    code, out, err = call("predict", tmp_path / "run", tmp_path / "digit.png", "--json")
    assert code == 0, err
    found = json.loads(out[-1])
    assert [one["notes"][0] for one in found] == [f"by {name}" for name in names]
    for given in (("--optimizer", "adam"), ("--lr", "0.1")):
        code, _, err = call("run", "digits-convnet", "--compare-optimizers", *given, "--out", tmp_path / "other")
        assert code == 2
        assert f"{given[0]} {given[1]}: --compare-optimizers has its own" in err[-1]


@pytest.mark.usefixtures("small_data")
def test_another_optimizer_takes_its_steps():
    kept = digits_cnn_deep.run(digits_cnn_deep.Settings(epochs=1, size="S"), train.Report()).metrics["S"]
    same = {"optimizer": "sgd", "optimizer_options": "momentum=0.9", "lr": 0.03}
    named = digits_cnn_deep.run(digits_cnn_deep.Settings(epochs=1, size="S", **same), train.Report()).metrics["S"]
    other = digits_cnn_deep.Settings(epochs=1, size="S", optimizer="adam")
    assert named["test_loss"] == kept["test_loss"]
    assert digits_cnn_deep.run(other, train.Report()).metrics["S"]["test_loss"] != kept["test_loss"]


@pytest.mark.full
def test_every_size_and_every_block_reads_mnist(tmp_path):
    for name, least in (("digits-cnn-deep", 0.980), ("digits-identity", 0.980)):
        code, out, err = call("run", name, "--dataset", "mnist", "--json", "--out", tmp_path / name)
        assert code == 0, err
        accuracies = {key: one["test_accuracy"] for key, one in json.loads(out[-1])["metrics"].items()}
        assert min(accuracies.values()) >= least, accuracies
