"""Every recipe of the registry from the command line, on its sample, offline."""

import dataclasses
import json
import socket
import typing

import pytest

from funcdl import data
from recipes import cli, registry, summary, tutorials
from recipes.settings import flag
from recipes.vision import finetune
from tests.recipes.small import call, quick_flags, recording, sample


@pytest.fixture
def offline(monkeypatch):
    connect = socket.socket.connect

    def refuse(self, address):
        if self.family == socket.AF_UNIX:  # worker processes hand tensors over that way
            return connect(self, address)
        raise OSError("this test is offline")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("FUNCDL_DATA", raising=False)


def without_words(module, monkeypatch):
    """Gets, for each run of a recipe, the metrics that JSON has and no line of its lesson says, or says otherwise."""
    run, found = module.run, []

    def listening(settings, report):
        outcome = run(settings, report)
        shown = outcome.lesson.metrics if outcome.lesson else {}
        found.append({name for name, value in outcome.metrics.items() if name not in shown or shown[name] is not value})
        return outcome

    monkeypatch.setattr(module, "run", listening)
    return found


@pytest.mark.parametrize("recipe", registry.RECIPES.values(), ids=registry.RECIPES)
def test_runs_on_its_sample_and_reads_every_flag(recipe, tmp_path, offline, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module, read = recipe.load(), set()
    monkeypatch.setattr(module, "Settings", recording(module.Settings, read))
    unshown = without_words(module, monkeypatch)
    if recipe.id.startswith("digits-") and recipe.folder == "vision":  # the first of them; digits-convnet takes all
        split = sample(200) if recipe.id != "digits-convnet" else data.digits()
        monkeypatch.setattr(data, "digits", lambda: split)
    code, out, err = call("run", recipe.id, *quick_flags(recipe), "--json", "--out", tmp_path / "run")
    assert code == 0, err
    result = json.loads(out[-1])
    assert result.keys() >= {"recipe", "dataset", "seed", "device", "compiled", "epochs", "seconds", "metrics"}
    assert (result["recipe"], result["dataset"]) == (recipe.id, "sample")
    assert result["metrics"]
    assert unshown == [set()]
    found = summary.read(tmp_path / "run")
    assert found.result == result
    assert len(found.lines) == len(result["metrics"])
    assert json.loads((tmp_path / "run" / "config.json").read_text())["recipe"] == recipe.id

    for name, task in tutorials.read().items():
        if (task.recipe, task.flags) == (recipe.id, ""):
            assert tutorials.missing(task, module.Settings, result["metrics"], found.pictures) == [], name

    shown = {field.name for field in dataclasses.fields(module.Settings)}
    if "data_dir" in shown:  # and with each data set, which is not there
        monkeypatch.setattr(finetune, "read_backbone", lambda *args: None)  # comes before the data
        for dataset in set(typing.get_args(typing.get_type_hints(module.Settings)["dataset"])) - {"sample"}:
            code, _, err = call(
                "run", recipe.id, "--dataset", dataset, "--data-dir", "nowhere", "--out", tmp_path / dataset
            )
            assert code == 2
            assert "nowhere" in err[-1]
    assert {flag(name) for name in shown - read} == set()


@pytest.mark.parametrize("recipe", registry.RECIPES.values(), ids=registry.RECIPES)
def test_says_what_it_teaches_and_what_its_flags_do(recipe, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["run", recipe.id, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    settings_class = recipe.load().Settings
    assert all(flag(field.name) in text for field in dataclasses.fields(settings_class))
    assert len(settings_class.__doc__.split()) > 15
