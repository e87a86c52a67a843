import json
import os
import subprocess
import sys

import pytest

from recipes import cli, registry
from tests.recipes.small import call

KEYS = ["recipe", "dataset", "seed", "device", "compiled", "epochs", "seconds", "metrics", "run_dir"]


@pytest.mark.parametrize("recipe", registry.RECIPES.values(), ids=lambda recipe: recipe.id)
def test_every_recipe_has_what_the_command_line_needs(recipe):
    module = recipe.load()
    settings = module.Settings()
    settings.check()
    assert settings.dataset == "sample"
    assert module.Settings.__doc__
    assert callable(module.run)


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["run", "digits-convnet", "--help"]])
def test_help_goes_to_stdout(arguments):
    out = subprocess.run(
        [sys.executable, "-m", "recipes", *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    assert "usage" in out.stdout
    assert out.stderr == ""
    if "digits-convnet" in arguments:
        flags = [
            "dataset",
            "data-dir",
            "epochs",
            "batch-size",
            "lr",
            "seed",
            "device",
            "compile",
            "out",
            "resume",
            "json",
        ]
        assert all(f"--{flag}" in out.stdout for flag in [*flags, "precision"])


@pytest.mark.usefixtures("small_data")
def test_with_json_stdout_is_one_line_and_all_else_goes_to_stderr(tmp_path):
    code, out, err = call("run", "digits-convnet", "--epochs", 1, "--out", tmp_path / "run", "--json", "--seed", 5)
    assert code == 0
    assert len(out) == 1
    result = json.loads(out[0])
    assert list(result) == KEYS
    assert {key: result[key] for key in KEYS if key not in ("seconds", "metrics")} == {
        "recipe": "digits-convnet",
        "dataset": "sample",
        "seed": 5,
        "device": result["device"],
        "compiled": False,
        "epochs": 1,
        "run_dir": str(tmp_path / "run"),
    }
    assert result["metrics"].keys() >= {"loss", "accuracy", "test_loss", "test_accuracy", "prediction"}
    assert any(line.startswith("compile: off") for line in err)
    assert any(line.startswith("epoch 1 ") for line in err)


@pytest.mark.usefixtures("small_data")
def test_without_json_there_is_a_table_and_where_everything_lies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = call("run", "digits-convnet", "--epochs", 2)
    assert code == 0
    (run_dir,) = (tmp_path / "runs" / "digits-convnet").iterdir()
    assert str(run_dir.relative_to(tmp_path)) in out[-1]
    assert "test_accuracy" in "".join(out)
    config = json.loads((run_dir / "config.json").read_text())
    assert config["recipe"] == "digits-convnet"
    assert config["settings"]["epochs"] == 2
    assert "out" not in config["settings"]
    code, out, _ = call("run", "digits-convnet", "--resume", "--json")  # the latest run, finished already
    assert code == 0
    assert json.loads(out[-1])["run_dir"] == str(run_dir.relative_to(tmp_path))


def test_an_error_that_is_a_bug_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(cli, "_list", lambda tutorials, as_json: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        call("list")


def test_without_a_cpp_compiler_it_warns_and_runs_uncompiled(tmp_path):
    (tmp_path / "bin").mkdir()
    environment = {**os.environ, "CXX": "/nowhere/c++", "PATH": str(tmp_path / "bin")}
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path / "cache")
    flags = ["--compile", "on", "--device", "cpu", "--epochs", "1", "--batch-size", "128", "--json"]
    run = subprocess.run(
        [sys.executable, "-m", "recipes", "run", "digits-convnet", *flags, "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=600,
        env=environment,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("no C++ compiler found") == 1
    assert "Traceback" not in run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["compiled"] is False
    assert result["metrics"]["test_accuracy"] > 0.3


@pytest.mark.usefixtures("small_data")
def test_log_every_prints_the_loss_within_an_epoch(tmp_path):
    flags = ("--epochs", 2, "--batch-size", 16, "--log-every", 2)
    code, _, err = call("run", "digits-convnet", *flags, "--out", tmp_path / "run")
    assert code == 0
    lines = [line for line in err if "batch" in line]
    assert [line.split(" (")[0] for line in lines] == [
        f"epoch {epoch}, batch {batch} of 6" for epoch in (1, 2) for batch in (2, 4, 6)
    ]
    assert "(32 of 96 samples, 33%): training loss 2." in lines[0]
    code, _, err = call("run", "digits-convnet", *flags[:-1], 0)
    assert code == 2
    assert err[-1].startswith("funcdl: --log-every 0: must be 1 or more")
