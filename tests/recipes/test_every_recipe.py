"""Every recipe of the registry from the command line, on its sample, offline."""

import json
import socket

import pytest

from recipes import cli, registry
from tests.recipes.small import call

QUICK = ("basics", "regression")  # these run whole, with their defaults; the others for one epoch


@pytest.fixture
def offline(monkeypatch):
    connect = socket.socket.connect

    def refuse(self, address):
        if self.family == socket.AF_UNIX:  # worker processes hand tensors over that way
            return connect(self, address)
        raise OSError("this test is offline")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("FUNCDL_DATA", raising=False)


@pytest.mark.parametrize("recipe", registry.RECIPES.values(), ids=registry.RECIPES)
def test_runs_on_its_sample(recipe, tmp_path, offline, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = [] if recipe.folder in QUICK else ["--epochs", "1"]
    code, out, err = call("run", recipe.id, *flags, "--json", "--out", tmp_path / "run")
    assert code == 0, err
    result = json.loads(out[-1])
    assert result.keys() >= {"recipe", "dataset", "seed", "device", "compiled", "epochs", "seconds", "metrics"}
    assert (result["recipe"], result["dataset"]) == (recipe.id, "sample")
    assert result["metrics"]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["recipe"] == recipe.id


@pytest.mark.parametrize("recipe", registry.RECIPES.values(), ids=registry.RECIPES)
def test_says_what_it_teaches_and_what_its_flags_do(recipe, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["run", recipe.id, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert all(f"--{flag}" in text for flag in ("dataset", "epochs", "lr", "seed", "device", "compile", "out", "json"))
    assert len(recipe.load().Settings.__doc__.split()) > 15
