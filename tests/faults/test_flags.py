"""The command line, flags: what is shown does something, and all else is refused by name; a flag is what it says."""

import dataclasses
import json
import re
import shlex
import typing
from pathlib import Path

import pytest
import torch

from funcdl import train
from recipes import flags, registry
from recipes.regression import thermometer_network
from recipes.settings import BatchSettings, SettingsError, flag
from tests.recipes.small import call

COMMON = [field.name for field in dataclasses.fields(BatchSettings)]
# cheap enough to run once for every flag; a flag that needs another to matter has it here
TINY = {
    **{recipe.id: {} for recipe in registry.RECIPES.values() if recipe.folder == "basics"},
    "dimension-reduction": {"epochs": 2},
    "linear-grid": {"epochs": 2},
    "gradient-descent": {"epochs": 2},
    "stochastic-gradient-descent": {"epochs": 2},
    "quadratic": {"epochs": 2},
    "linear-regression": {"epochs": 2},
    "thermometer": {"epochs": 2, "split": "random"},
    "thermometer-network": {"epochs": 2},
    "curve-fit": {"epochs": 2},
    "optimizers": {"epochs": 2, "only": "momentum", "batch_size": 200},
    "overfitting": {"epochs": 4, "hidden": 5},
    "logistic": {"epochs": 2, "start": "random"},
    "blobs": {"epochs": 2},
    "diabetes": {"epochs": 2},
    "credit": {"epochs": 2},
    "hello": {"epochs": 2},
    "sine": {"epochs": 2},
}
OTHERS = {
    "seed": 7,
    "epochs": 1,
    "batch_size": 100,
    "lr": 0.003,
    "size": 4,
    "hidden": 4,
    "l1": 0.1,
    "l2": 0.1,
    "noise": 0.1,
    "seeds": 2,
    "optimizer": "rmsprop",
}
# with tests of their own
ELSEWHERE = {"dataset", "data_dir", "device", "compile", "out", "resume", "json", "optimizer_options", "log_every"}


def no_such_flag(name, *words):
    code, out, err = call("run", name, *words)
    assert (code, out, len(err)) == (2, [], 1), err
    assert err[0].isascii() or "…" not in err[0]
    assert not any(mark in err[0] for mark in "─│╭╮╰╯")
    return err[0]


@pytest.mark.parametrize("recipe", registry.RECIPES.values(), ids=registry.RECIPES)
def test_a_flag_that_would_do_nothing_is_refused_by_name(recipe):
    shown = [field.name for field in dataclasses.fields(recipe.load().Settings)]
    for name in set(COMMON) - set(shown):
        for words in ([flag(name), "1"], [f"{flag(name)}=1"]):
            said = no_such_flag(recipe.id, *words)
            assert said.startswith(f"funcdl: {flag(name)}: '{recipe.id}' has no such flag")
            assert all(flag(other) in said for other in shown)


@pytest.mark.parametrize("recipe", registry.RECIPES.values(), ids=registry.RECIPES)
def test_help_shows_the_flags_there_are_and_no_others(recipe, capsys):
    settings_class = recipe.load().Settings
    shown = {field.name for field in dataclasses.fields(settings_class)}
    with pytest.raises(SystemExit):
        flags.parse(settings_class, recipe.id, ["--help"])
    described = set(re.findall(r"^  (--[\w-]+)", capsys.readouterr().out, re.MULTILINE))
    for name in {*shown, *COMMON}:
        assert (flag(name) in described) == (name in shown), name


def changes():
    for name, base in TINY.items():
        settings_class = registry.find(name).load().Settings
        kinds = typing.get_type_hints(settings_class)
        for field in dataclasses.fields(settings_class):
            if field.name in ELSEWHERE:
                continue
            if typing.get_origin(kinds[field.name]) is typing.Literal:
                now = base.get(field.name, field.default)
                other = next(choice for choice in typing.get_args(kinds[field.name]) if choice != now)
            elif kinds[field.name] is str:
                other = {"lr": "0.003", "only": {"optimizers": "adam", "overfitting": "l1"}.get(name)}[field.name]
            else:
                other = 2 if (name, field.name) == ("stochastic-gradient-descent", "batch_size") else OTHERS[field.name]
            yield pytest.param(name, field.name, other, id=f"{name} {flag(field.name)} {other}")


def measured(name, **settings):
    module = registry.find(name).load()
    settings = module.Settings(device="cpu", **settings) if "device" in COMMON_OF[name] else module.Settings(**settings)
    settings.check()
    outcome = module.run(settings, train.Report())
    return json.dumps({key: value for key, value in outcome.metrics.items() if "second" not in key}), outcome.epochs


COMMON_OF = {name: {f.name for f in dataclasses.fields(registry.find(name).load().Settings)} for name in TINY}
WITHOUT = {}  # by recipe: what its run in TINY has measured


@pytest.mark.parametrize(("name", "setting", "other"), list(changes()))
def test_another_value_gives_another_result(name, setting, other):
    if name not in WITHOUT:
        WITHOUT[name] = measured(name, **TINY[name])
    assert measured(name, **{**TINY[name], setting: other}) != WITHOUT[name]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("digits-convnet --epoch 3", "--epoch: 'digits-convnet' has no such flag; did you mean --epochs?"),
        ("digits-convnet --epoch=3", "--epoch: 'digits-convnet' has no such flag; did you mean --epochs?"),
        ("digits-convnet -epochs 3", "-epochs: 'digits-convnet' has no such flag; did you mean --epochs?"),
        ("digits-convnet --bach-size 3", "did you mean --batch-size?"),
        ("digits-convnet --no-lr", "--no-lr: 'digits-convnet' has no such flag"),
        ("digits-convnet --learning-speed 3", "it has --device, --epochs, --lr"),
        ("tensors --growth 3", "--growth: 'tensors' has no such flag"),
        ("tensors --", "--: 'tensors' has no such flag"),
        ("tensors --seed", "--seed: a value is missing"),
        ("tensors --seed --json", "--seed: a value is missing"),
        ("tensors --seed 1.5", "--seed '1.5': must be a whole number"),
        ("tensors --seed ''", "--seed '': must be a whole number"),
        ("tensors --json=yes", "--json takes no value"),
        ("tensors stray", "'stray': is no flag and no flag's value"),
        ("quadratic --lr fast", "--lr 'fast': must be a number"),
        ("titanic --dataset iceberg", "--dataset: invalid choice 'iceberg'; it is one of sample, titanic"),
    ],
)
@pytest.mark.parametrize("columns", ["20", "300"])
def test_a_wrong_flag_is_one_plain_line(words, said, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    name, *rest = shlex.split(words)
    line = no_such_flag(name, *rest)
    assert said in line
    assert line.endswith(f"see funcdl run {name} --help")


@pytest.mark.parametrize("command", [["list", "--jsno"], ["predict", "nowhere", "x", "--jsno"]])
def test_a_wrong_flag_of_another_command(command):
    code, out, err = call(*command)
    assert (code, out, len(err)) == (2, [], 1)
    assert "--jsno" in err[0]
    assert "did you mean --json?" in err[0]


def test_inputs_on_both_sides_of_a_flag_are_told_where_to_stand(tmp_path):
    code, out, err = call("predict", tmp_path, "a.png", "--json", "b.png")
    assert (code, out) == (2, [])
    assert err == ["funcdl: b.png: stands apart from the other inputs; name them side by side; see funcdl --help"]


def test_flags_may_be_repeated_joined_and_underscored():
    settings_class = registry.find("digits-convnet").load().Settings
    words = [
        "--lr=-inf",
        "--batch_size",
        "7",
        "--batch-size=8",
        "--json",
        "--no-json",
        "--epochs",
        "None",
        "--lr",
        "-1e3",
    ]
    settings = flags.parse(settings_class, "digits-convnet", words)
    assert settings == settings_class(batch_size=8, lr=-1000.0)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("thermometer-network", {"model": "linear", "hidden": 20}, "--hidden 20: is for --model network"),
        ("overfitting", {"only": "plain,l1", "l2": 1.0}, "--l2 1.0: is for --only l2"),
        *[(n, {"data_dir": Path("x")}, "--data-dir x: is for another --dataset") for n in ("names", "digits-cnn-deep")],
        ("batching", {"data_dir": Path("x")}, "--data-dir x: is for another --dataset"),
        ("finetune", {"data_dir": Path("x")}, "--data-dir x: is for another --dataset"),
        ("finetune", {"backbone": "resnet50"}, "--backbone resnet50: is for --dataset hymenoptera"),
        ("finetune", {"dataset": "mnist", "size": 64}, "--size 64: is for --dataset hymenoptera"),
        ("finetune", {"dataset": "hymenoptera", "images": 3}, "--images 3: is for digits"),
    ],
)
def test_a_flag_that_the_others_make_idle_is_refused(name, settings, said):
    with pytest.raises(SettingsError, match=said):
        registry.find(name).load().Settings(**settings).check()


@pytest.mark.parametrize("recipe", registry.RECIPES.values(), ids=registry.RECIPES)
def test_no_number_is_too_large_for_a_sentence(recipe, tmp_path):
    kinds = typing.get_type_hints(recipe.load().Settings)
    for name in (name for name, kind in kinds.items() if int in (kind, *typing.get_args(kind))):
        code, out, err = call("run", recipe.id, flag(name), 10**25, "--out", tmp_path / "run")
        assert (code, out) == (2, [])
        assert re.fullmatch(rf"funcdl: {flag(name)} 1(0{{25}}): must be .*", err[-1]), err
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 7.3 TiB for an array"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 7 TiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    ],
)
def test_too_little_memory_is_a_sentence(error, tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise error

    monkeypatch.setattr(train, "fit", refuse)
    code, _, err = call("run", "blobs", "--out", tmp_path / "run")
    assert (code, err[-1]) == (2, "funcdl: the run needs more memory than there is; ask for less of it")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("lr", [0.01, 0.002])
def test_the_rate_of_the_linear_thermometer_is_the_one_that_is_said(lr, monkeypatch):
    rates = []
    sgd = thermometer_network.optim.sgd
    monkeypatch.setattr(thermometer_network.optim, "sgd", lambda lr: rates.append(lr) or sgd(lr=lr))
    for model in ("linear", "network"):
        settings = thermometer_network.Settings(model=model, lr=lr, epochs=3, device="cpu")
        outcome = thermometer_network.run(settings, train.Report())
        assert torch.tensor(outcome.metrics["loss"]).isfinite()
    assert rates == [lr, lr]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda saved: saved | {"lr": 0.01, "dataset": "sample"}, "it has dataset, lr; start a new run"),
        (lambda saved: {}, "it lacks device, seed; start a new run"),
        (lambda saved: {"seed": 0, "tpu": 1}, "it has tpu and lacks device; start a new run"),
    ],
)
def test_a_run_that_was_saved_with_other_flags_says_which(change, said, tmp_path):
    assert call("run", "tensors", "--out", tmp_path / "run")[0] == 0
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"settings": change(config["settings"])}))
    code, _, err = call("run", "tensors", "--resume", "--out", tmp_path / "run")
    assert (code, len(err)) == (2, 1)
    assert str(path) in err[0]
    assert "has other settings than this version's 'tensors'" in err[0]
    assert said in err[0]


@pytest.mark.parametrize("name", [name for name in TINY if "lr" in COMMON_OF[name] and name not in ("layers", "sine")])
def test_resuming_does_something_for_every_descent(name, tmp_path):
    words = [word for setting, value in TINY[name].items() for word in (flag(setting), value)]
    code, out, err = call("run", name, *words, "--device", "cpu", "--json", "--out", tmp_path / "run")
    assert code == 0, err
    code, again, err = call("run", name, "--resume", "--json", "--out", tmp_path / "run")
    assert code == 0, err
    assert json.loads(again[-1])["metrics"] == json.loads(out[-1])["metrics"]
