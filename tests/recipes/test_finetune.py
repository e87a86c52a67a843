"""Fine-tuning: every rule changes what it says and nothing else, and pays; photographs with a network from a file."""

import json

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file

from funcdl import data, train
from recipes.vision import finetune
from tests.recipes.small import call, left_in, real_data

WAYS = ["scratch", "head", "middle", "full", "other-size", "tenth", "exported"]
LAYERS = ("conv1", "conv2", "conv3", "fc")


def params_in(folder):
    """The parameters in a checkpoint, by name."""
    (file,) = (folder / "checkpoint").glob("*.safetensors")
    prefix = "params."
    return {path.removeprefix(prefix): leaf for path, leaf in load_file(file).items() if path.startswith(prefix)}


def changed(before, after):
    """How far each part of a network has moved, by its name."""
    moved = {}
    for path, leaf in after.items():
        part = path.split(".")[0]
        moved[part] = max(moved.get(part, 0.0), (leaf - before[path]).abs().max().item())
    return moved


def checkpoint_in(folder):
    return {file.name: file.read_bytes() for file in (folder / "checkpoint").iterdir()}


@pytest.fixture(scope="module")
def sample_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finetune") / "run"
    before = torch.get_rng_state()
    code, out, err = call("run", "finetune", "--json", "--out", folder)
    assert code == 0, err
    assert torch.equal(torch.get_rng_state(), before)
    return folder, json.loads(out[-1])


def test_the_table_and_the_picture(sample_run):
    folder, result = sample_run
    metrics = result["metrics"]
    assert [name for name in metrics if name in WAYS] == WAYS
    numbers = {"loss", "accuracy", "test_loss", "test_accuracy", "parameters", "seconds"}
    assert all(metrics[name].keys() == numbers for name in WAYS)
    conv1, conv2, conv3, fc = 9 * 16 + 16, 9 * 16 * 32 + 32, 9 * 32 * 64 + 64, 4 * 64 * 5 + 5
    whole = conv1 + conv2 + conv3 + fc
    parameters = [whole, fc, conv3 + fc, whole, whole, whole, fc]
    assert [metrics[name]["parameters"] for name in WAYS] == parameters
    assert metrics["pretrained"] >= 0.97
    assert metrics["refused"].startswith("ValueError: linear(5): expected (..., 3136)")
    for name in WAYS:
        rows = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
        assert [row["epoch"] for row in rows] == list(range(1, 11))
        assert rows[-1]["test_accuracy"] == metrics[name]["test_accuracy"]
    with Image.open(folder / "ways.png") as picture:
        assert min(picture.size) > 300
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 100


def test_every_rule_trains_what_it_says(sample_run):
    folder = sample_run[0]
    before, after = params_in(folder / "pretrained"), {name: params_in(folder / name) for name in WAYS}
    moved = {name: changed(before, after[name]) for name in WAYS if name != "exported"}
    for name, frozen in (("head", {"conv1", "conv2", "conv3"}), ("middle", {"conv1", "conv2"})):
        assert {layer for layer in LAYERS if moved[name][layer] == 0} == frozen
    for name in ("scratch", "full", "other-size", "tenth"):
        assert all(moved[name][layer] > 0 for layer in LAYERS)
    for layer in ("conv1", "conv2", "conv3"):  # Adam's steps are of the size of its rate
        assert moved["tenth"][layer] < 0.3 * moved["full"][layer]
        assert moved["full"][layer] < moved["scratch"][layer]
    assert not torch.equal(after["other-size"]["conv1.weight"], after["full"]["conv1.weight"])


def test_a_head_on_exported_features_is_the_head_on_images(sample_run):
    folder, result = sample_run
    metrics = result["metrics"]
    assert set(params_in(folder / "exported")) == {"fc.weight", "fc.bias"}
    assert metrics["exported_apart"] < 1e-4
    assert metrics["exported"]["test_accuracy"] == pytest.approx(metrics["head"]["test_accuracy"], abs=0.02)
    assert metrics["exported"]["seconds"] < metrics["head"]["seconds"]
    (file,) = (folder / "exported" / "features").glob("*.safetensors")
    shapes = {name: tuple(leaf.shape) for name, leaf in load_file(file).items()}
    assert shapes == {"train.0": (25, 256), "train.1": (25,), "test.0": (177, 256), "test.1": (177,)}


def test_what_was_learned_of_other_digits_helps():
    """With five images of each digit, in the mean over seeds."""
    ways = ("scratch", "head", "middle", "full", "tenth")
    accuracies = {name: [] for name in ways}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small steps that other processes disturb least so
    for seed in range(5):
        settings = finetune.Settings(seed=seed, only=",".join(ways), device="cpu")
        metrics = finetune.run(settings, train.Report()).metrics
        for name in ways:
            accuracies[name].append(metrics[name]["test_accuracy"])
    torch.set_num_threads(threads)
    mean = {name: sum(values) / len(values) for name, values in accuracies.items()}
    assert mean["middle"] >= max(0.65, mean["scratch"] + 0.05), accuracies
    assert mean["full"] >= mean["scratch"] + 0.02, accuracies
    assert mean["tenth"] >= mean["scratch"] + 0.02, accuracies


@pytest.fixture
def quick(monkeypatch):
    """Fewer digits, so that a run takes a moment."""
    split = data.digits()
    few = data.Split(*(tuple(leaf[:n] for leaf in part) for part, n in zip(split, (160, 60), strict=True)))
    monkeypatch.setattr(data, "digits", lambda: few)
    monkeypatch.setattr(finetune._pretrained, "SEEN", 160)


@pytest.mark.usefixtures("quick")
def test_interrupted_it_goes_on_with_the_way_it_was_at(tmp_path, monkeypatch):
    flags = ("--epochs", 2, "--only", "head,tenth,exported", "--device", "cpu")
    assert call("run", "finetune", *flags, "--out", tmp_path / "whole")[0] == 0
    fit, made = train.fit, []

    def stop(*arguments, record, **named):
        made.append(record.report.directory.name)
        if record.report.directory.name == "tenth":
            raise KeyboardInterrupt
        return fit(*arguments, record=record, **named)

    with monkeypatch.context() as patch:
        patch.setattr(train, "fit", stop)
        code, _, err = call("run", "finetune", *flags, "--out", tmp_path / "cut")
    assert code == 130
    assert "--resume" in err[-1]
    assert made == ["pretrained", "head", "tenth"]
    before = (tmp_path / "cut" / "head" / "metrics.jsonl").read_bytes()
    code, _, err = call("run", "finetune", "--resume", "--out", tmp_path / "cut")
    assert code == 0, err
    assert (tmp_path / "cut" / "head" / "metrics.jsonl").read_bytes() == before
    for name in ("pretrained", "head", "tenth", "exported"):
        assert left_in(tmp_path / "cut" / name) == left_in(tmp_path / "whole" / name)
    assert checkpoint_in(tmp_path / "cut") == checkpoint_in(tmp_path / "whole")


@pytest.mark.usefixtures("quick")
def test_stopped_before_the_tuning_it_begins_again(tmp_path, monkeypatch):
    flags = ("--epochs", 1, "--only", "head", "--device", "cpu")
    assert call("run", "finetune", *flags, "--out", tmp_path / "whole")[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr(finetune, "hyperparameters", lambda settings: (1, 26, 0.003))
        code, _, err = call("run", "finetune", *flags, "--out", tmp_path / "run")
    assert code == 2
    assert err[-1] == "funcdl: --batch-size 26: must be at most 25, the samples to train on"
    code, _, err = call("run", "finetune", *flags, "--out", tmp_path / "run")  # with what was left in the folder
    assert code == 0, err
    for name in (".", "pretrained", "head"):
        assert checkpoint_in(tmp_path / "run" / name) == checkpoint_in(tmp_path / "whole" / name)


@pytest.mark.usefixtures("quick")
def test_a_rate_that_is_far_too_high(tmp_path):
    code, _, err = call("run", "finetune", "--lr", "1e30", "--only", "full", "--out", tmp_path / "run")
    assert code == 2
    assert "not finite" in err[-1]
    assert str(tmp_path / "run" / "full" / "checkpoint") in err[-1]
    # What it has left must not be taken for the beginning of a run with another rate.
    code, _, err = call("run", "finetune", "--only", "full", "--out", tmp_path / "run")
    assert code == 2
    assert "holds a run already" in err[-1]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--only", "head,neck"], "'neck' is none of scratch, head, middle"),
        (["--images", "0"], "--images 0: must be 1 or more"),
        (["--other-size", "31"], "--other-size 31: must be 32 or more"),
        (["--workers", "-1"], "--workers -1: must be 0 or more"),
        (["--views", "0"], "--views 0: must be 1 or more"),
        (["--dataset", "hymenoptera"], "get https://download.pytorch.org/models/resnet18-"),
        (["--dataset", "hymenoptera", "--backbone", "resnet50"], "get https://download.pytorch.org/models/resnet50-"),
        (["--dataset", "hymenoptera", "--weights", "nowhere.pth"], "there is no file nowhere.pth"),
    ],
    ids=" ".join,
)
def test_flags_that_cannot_be(tmp_path, flags, message):
    code, out, err = call("run", "finetune", *flags, "--out", tmp_path / "run")
    assert (code, out) == (2, []), err
    assert err[-1].startswith("funcdl: ")
    assert message in err[-1]
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def insects(tmp_path_factory):
    """Photographs of noise, reddish ants and bluish bees, and the weights of a network of torchvision's."""
    root = tmp_path_factory.mktemp("insects")
    numbers = np.random.default_rng(0)
    for place in ("train/ants", "train/bees", "val/ants", "val/bees"):
        folder = root / "hymenoptera_data" / place
        folder.mkdir(parents=True)
        for number in range(4):
            pixels = numbers.integers(0, 120, (40, 50, 3), dtype=np.uint8)
            pixels[..., 0 if place.endswith("ants") else 2] += 120
            Image.fromarray(pixels).save(folder / f"{number}.jpg")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = torchvision.models.resnet18(num_classes=7).state_dict()
    torch.save(weights, root / "resnet18.pth")
    save_file(weights, root / "resnet18.safetensors")
    return root, weights


def run_on(insects, folder, *flags, weights="resnet18.pth"):
    root = insects[0]
    return call(
        "run", "finetune", "--dataset", "hymenoptera", "--data-dir", root, "--weights", root / weights, "--size", 32,
        "--epochs", 2, "--batch-size", 4, "--device", "cpu", "--out", folder, "--json", *flags,
    )  # fmt: skip


def test_photographs_with_a_network_from_a_file(insects, tmp_path):
    before = torch.get_rng_state()
    only = ("--only", "head,middle,tenth,other-size,exported", "--other-size", 48)
    code, out, err = run_on(insects, tmp_path / "run", *only)
    assert code == 0, err
    assert torch.equal(torch.get_rng_state(), before)
    metrics = json.loads(out[-1])["metrics"]
    assert metrics["classes"] == "ants bees"
    backbone = 11_689_512 - 513_000
    assert metrics["head"]["parameters"] == metrics["exported"]["parameters"] == 2 * 513
    assert metrics["tenth"]["parameters"] == backbone + 2 * 513
    assert metrics["exported_apart"] < 1e-4
    theirs = insects[1]
    heads = params_in(tmp_path / "run" / "head")
    assert heads["fc.weight"].shape == (2, 512)
    assert all(torch.equal(leaf, theirs[path]) for path, leaf in heads.items() if not path.startswith("fc."))
    middle = params_in(tmp_path / "run" / "middle")
    parts = {path.split(".")[0] for path, leaf in middle.items() if path[:2] != "fc" and not leaf.equal(theirs[path])}
    assert parts == {"layer4"}
    for name in ("head", "middle", "tenth"):  # the batch norms keep the statistics that they came with
        (file,) = (tmp_path / "run" / name / "checkpoint").glob("*.safetensors")
        kept = {path: leaf for path, leaf in load_file(file).items() if path.startswith("buffers.")}
        assert len(kept) == 60
        assert all(torch.equal(leaf, theirs[path.removeprefix("buffers.")]) for path, leaf in kept.items())

    for old in ("resnet18.safetensors", "old.pth"):  # those of before torch 0.4.1 count no batches
        torch.save({path: leaf for path, leaf in theirs.items() if "num_batches" not in path}, insects[0] / "old.pth")
        code, out, err = run_on(insects, tmp_path / old, "--only", "exported", weights=old)
        assert code == 0, err
        assert json.loads(out[-1])["metrics"]["exported"]["loss"] == metrics["exported"]["loss"]


def test_weights_that_do_not_fit_are_all_named(insects, tmp_path):
    root, weights = insects
    harmed = {f"{path}s" if path == "layer3.0.conv2.weight" else path: leaf for path, leaf in weights.items()}
    del harmed["layer1.1.bn2.bias"]
    harmed["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    torch.save(harmed, root / "harmed.pth")
    code, out, err = run_on(insects, tmp_path / "run", weights="harmed.pth")
    assert (code, out) == (2, []), err
    for problem in (
        "harmed.pth: cannot be used for resnet18",
        "missing layer3.0.conv2.weight",
        "unexpected layer3.0.conv2.weights",
        "missing layer1.1.bn2.bias",
        "conv1.weight of shape (64, 1, 7, 7) instead of (64, 3, 7, 7)",
    ):
        assert problem in err[-1]
    code, _, err = run_on(insects, tmp_path / "run", "--backbone", "resnet34")
    assert code == 2
    assert err[-1].count("missing ") == 216 - 120  # all of the 14 further blocks' names


def test_a_file_that_would_run_code_is_refused(insects, tmp_path):
    class Harmful:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    torch.save({"conv1.weight": Harmful()}, insects[0] / "harmful.pth")
    code, _, err = run_on(insects, tmp_path / "run", weights="harmful.pth")
    assert code == 2
    assert "holds more than tensors" in err[-1]
    assert not (tmp_path / "ran").exists()


def test_a_photograph_that_is_none_is_skipped_only_if_asked(insects, tmp_path):
    broken = insects[0] / "hymenoptera_data" / "train" / "bees" / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 no picture")
    try:
        code, out, err = run_on(insects, tmp_path / "run")
        assert (code, out) == (2, []), err
        assert str(broken) in err[-1]
        assert "--skip-unreadable" in err[-1]
        code, out, err = run_on(insects, tmp_path / "run", "--skip-unreadable", "--only", "exported")
        assert code == 0, err
        assert any(line.startswith("warning: skipped: ") and str(broken) in line for line in err)
        assert json.loads(out[-1])["metrics"]["skipped"] == 1
    finally:
        broken.unlink()


@pytest.mark.full
def test_all_photographs_go_through_the_network(insects, tmp_path):
    """With weights at random, for want of trained ones: what is shown is that 244 and 153 photographs are read."""
    root = real_data("hymenoptera_data")
    code, out, err = run_on(insects, tmp_path / "run", "--only", "exported", "--data-dir", root, "--size", 96)
    assert code == 0, err
    metrics = json.loads(out[-1])["metrics"]
    assert metrics["skipped"] == 0
    (file,) = (tmp_path / "run" / "exported" / "features").glob("*.safetensors")
    features = load_file(file)
    assert features["train.0"].shape == (2 * 244, 512)
    assert features["test.1"].bincount().tolist() == [70, 83]


@pytest.mark.full
def test_digits_of_mnist(tmp_path):
    code, out, err = call("run", "finetune", "--dataset", "mnist", "--json", "--out", tmp_path / "run")
    assert code == 0, err
    metrics = json.loads(out[-1])["metrics"]
    assert metrics["pretrained"] >= 0.97
    assert metrics["middle"]["test_accuracy"] >= 0.6
