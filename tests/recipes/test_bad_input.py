"""Bad input: exit code 2, one line on stderr that says what to do, no traceback, nothing lost."""

import json
import os
import shutil
import sys
import urllib.error

import pytest
import torch
from PIL import Image

from funcdl import data, train
from funcdl.data import download
from tests.recipes.small import call, files, sample


def refused(*arguments, quiet=True):
    """Calls the command line, which must refuse; returns its one line."""
    code, out, err = call(*arguments)
    assert (code, out) == (2, []), err
    lines = [line for line in err if line.startswith("funcdl: ")]
    assert len(lines) == 1
    assert err[-1] == lines[0]
    if quiet:
        assert err == lines
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["run", "digit-convnet"], ["'digit-convnet'", "did you mean 'digits-convnet'?"]),
        (["run", "zzz"], ["'zzz'", "funcdl list"]),
        (["run"], ["name a recipe"]),
        (["run", "--epochs", "3", "digits-convnet"], ["name a recipe, before its flags"]),
        (["walk"], ["'walk'", "list", "run", "predict"]),
        (["list", "--epochs", "3"], ["--epochs"]),
        (["predict"], ["RUN_DIR"]),
        (["run", "digits-convnet", "--epoch", "3"], ["--epoch", "did you mean --epochs?"]),
        (["run", "digits-convnet", "--zzz"], ["--zzz", "--help"]),
        (["run", "digits-convnet", "stray"], ["stray"]),
        (["run", "digits-convnet", "--epochs"], ["--epochs"]),
        (["run", "digits-convnet", "--epochs", "x"], ["--epochs", "'x'"]),
        (["run", "digits-convnet", "--epochs", "1.5"], ["--epochs", "1.5"]),
        (["run", "digits-convnet", "--lr", "fast"], ["--lr", "'fast'"]),
        (["run", "digits-convnet", "--device", "tpu"], ["--device", "'tpu'", "cuda"]),
        (["run", "digits-convnet", "--dataset", "cifar"], ["--dataset", "'cifar'", "mnist"]),
        (["run", "digits-convnet", "--precision", "fp8"], ["--precision", "'fp8'", "bf16"]),
        (["run", "digits-convnet", "--epochs", "0"], ["--epochs 0", "1 or more"]),
        (["run", "digits-convnet", "--epochs", "-2"], ["--epochs -2", "1 or more"]),
        (["run", "digits-convnet", "--batch-size", "0"], ["--batch-size 0", "1 or more"]),
        (["run", "digits-convnet", "--batch-size", "1443"], ["--batch-size 1443", "at most 1442"]),
        (["run", "digits-convnet", "--lr", "nan"], ["--lr nan", "positive"]),
        (["run", "digits-convnet", "--lr", "inf"], ["--lr inf", "positive"]),
        (["run", "digits-convnet", "--lr", "0"], ["--lr 0", "positive"]),
        (["run", "digits-convnet", "--lr", "-0.1"], ["--lr -0.1", "positive"]),
        (["run", "digits-convnet", "--seed", "-1"], ["--seed -1", "0 or more"]),
        (["run", "digits-convnet", "--seed", str(2**64)], ["--seed", "2**64"]),
        (["run", "digits-convnet", "--resume"], ["--resume", "no run", "--out"]),
        (["run", "digits-convnet", "--resume", "--out", "nowhere"], ["nowhere", "no run"]),
        (["predict", "nowhere", "x.png"], ["nowhere", "no run"]),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line(tmp_path, monkeypatch, arguments, parts):
    monkeypatch.chdir(tmp_path)
    line = refused(*arguments)
    assert all(part in line for part in parts), line
    assert not files(tmp_path)
    assert not any(tmp_path.glob("runs/*/*"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_where_there_is_none(tmp_path):
    assert "--device cuda: torch finds no CUDA device" in refused(
        "run", "digits-convnet", "--device", "cuda", "--out", tmp_path / "run"
    )
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("mine")
    line = refused("run", "digits-convnet", "--out", tmp_path / "file" / "run")
    assert f"--out {tmp_path / 'file' / 'run'}: cannot be written" in line
    assert refused("run", "digits-convnet", "--out", tmp_path / "file").count("cannot be written") == 1
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only(tmp_path):
    tmp_path.chmod(0o500)
    assert "cannot be written" in refused("run", "digits-convnet", "--out", tmp_path / "run")


def test_mnist_without_data_and_network(tmp_path, monkeypatch):
    def no_network(request, timeout):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(sys.modules[download.__module__], "urlopen", no_network)
    flags = ("--dataset", "mnist", "--data-dir", tmp_path / "data", "--out", tmp_path / "run")
    line = refused("run", "digits-convnet", *flags)
    assert "could not download train-images-idx3-ubyte.gz" in line
    assert str(tmp_path / "data" / "MNIST" / "raw" / "train-images-idx3-ubyte.gz") in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes([0, 0, 8, 3, 0, 0, 234, 96, 0, 0, 0, 28, 0, 0, 0, 28, 1, 2, 3]), "is truncated: 19 bytes"),
        (bytes([0, 0, 8, 3, 0]), "is truncated"),
        (b"", "is truncated"),
        (b"\x89PNG not idx", "is not an IDX file"),
    ],
)
def test_mnist_with_a_file_that_is_damaged_or_another(tmp_path, content, message):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"")  # there, so that nothing is downloaded
    line = refused("run", "digits-convnet", "--dataset", "mnist", "--data-dir", tmp_path, "--out", tmp_path / "run")
    assert f"{tmp_path / 'train-images-idx3-ubyte'} {message}" in line
    assert (tmp_path / "train-images-idx3-ubyte").read_bytes() == content


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    split = sample()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "digits", lambda: split)
        code, _, err = call("run", "digits-convnet", "--epochs", 1, "--batch-size", 48, "--out", folder)
    assert code == 0, err
    return folder


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.mark.parametrize("name", ["text.png", "cut.png", "even.png", "nowhere.png", "folder"])
def test_a_picture_that_is_none(run, tmp_path, name):
    (tmp_path / "text.png").write_text("not a picture")
    Image.effect_noise((60, 60), 90).save(tmp_path / "noise.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "noise.png").read_bytes()[:300])
    Image.new("L", (40, 40), 200).save(tmp_path / "even.png")
    (tmp_path / "folder").mkdir()
    assert str(tmp_path / name) in refused("predict", run, tmp_path / "noise.png", tmp_path / name)


def write(name, change):
    def harm(run):
        (path,) = run.glob(name)
        path.write_bytes(change(path.read_bytes()))

    return harm


def remove(name):
    return lambda run: next(run.glob(name)).unlink()


def edit_config(**changes):
    return write("config.json", lambda b: json.dumps({**json.loads(b), **changes}).encode())


JSON, TENSORS = "checkpoint/checkpoint.json", "checkpoint/*.safetensors"


def other_tree(run):
    info = train.read_info(run / "checkpoint")
    train.save(run / "checkpoint", {"w": torch.ones(2)}, info)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (remove(JSON), "holds no checkpoint"),
        (remove(TENSORS), "cannot be read"),
        (write(JSON, lambda b: b[:200]), "is not JSON"),
        (write(JSON, lambda b: b'{"format": "theirs"}'), "does not describe a checkpoint"),
        (write(TENSORS, lambda b: b[: len(b) // 2]), "is damaged"),
        (write(TENSORS, lambda b: b""), "is damaged"),
        (other_tree, "holds another tree than the one asked for: at the top it has a dict of w"),
        (remove("config.json"), "holds no run"),
        (write("config.json", lambda b: b[:20]), "is not JSON"),
        (write("config.json", lambda b: b"[1]"), "is not a run's"),
        (write("config.json", lambda b: b"{}"), "is not a run's"),
        (edit_config(settings=[1]), "is not a run's"),
        (edit_config(recipe=[1]), "is not a run's"),
        (edit_config(settings={"theirs": 1}), "other settings"),
        (edit_config(recipe="theirs"), "'theirs'"),
    ],
)
def test_a_run_that_is_damaged_or_foreign(run, tmp_path, harm, message):
    Image.effect_noise((60, 60), 90).save(tmp_path / "noise.png")
    harm(run)
    before = files(run)
    assert message in refused("predict", run, tmp_path / "noise.png")
    assert message in refused("run", "digits-convnet", "--resume", "--out", run, quiet=False)
    assert files(run) == before


@pytest.mark.usefixtures("small_data")
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batch-size", "32"], "has --batch-size 48, not 32"),
        (["--lr", "0.25"], "has no --lr, and now it would be 0.25"),
        (["--lr", "nan"], "has no --lr, and now it would be nan"),
        (["--seed", "1"], "has --seed 0, not 1"),
        (["--precision", "bf16"], "has --precision fp32, not bf16"),
        (["--dataset", "mnist"], "has --dataset sample, not mnist"),
        (["--compile", "on"], "has --compile auto, not on"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_resuming_with_other_settings(run, flags, message):
    before = files(run)
    line = refused("run", "digits-convnet", "--resume", "--out", run, *flags)
    assert message in line
    assert str(run) in line
    assert files(run) == before


def test_a_new_run_where_one_lies_already(run):
    before = files(run)
    assert "holds a run already; add --resume" in refused("run", "digits-convnet", "--out", run)
    assert files(run) == before


@pytest.mark.usefixtures("small_data")
def test_a_learning_rate_that_is_far_too_high(tmp_path):
    flags = ("--lr", "1e30", "--epochs", 1, "--out", tmp_path / "run")
    line = refused("run", "digits-convnet", *flags, quiet=False)
    assert "not finite" in line
    assert "lower learning rate" in line
    assert (tmp_path / "run" / "checkpoint" / "checkpoint.json").exists()
