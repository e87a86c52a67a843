"""The command `predict`: its outputs and its errors, by a recipe that stands in for all."""

import csv
import json
import sys
import types

import pytest
import torch

from recipes import cli, inputs, predicting, registry, settings, sheets
from tests.recipes.small import call


def predict_sign(settings, run_dir, texts):
    """Tells the sign of a number on the command line."""
    names, numbers = inputs.rows(texts, ["x"])
    shares = torch.sigmoid(numbers.squeeze(1)).tolist()
    return [
        {"input": name, "prediction": "+" if p > 0.5 else "-", "probabilities": {"-": 1 - p, "+": p}, "notes": ["toy"]}
        for name, p in zip(names, shares, strict=True)
    ]


def predict_double(settings, run_dir, texts):
    names, numbers = inputs.rows(texts, ["x"])
    return [{"input": name, "prediction": 2 * x} for name, (x,) in zip(names, numbers.tolist(), strict=True)]


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    """The folder of a run of a recipe that predicts by `predict_sign`."""
    module = types.SimpleNamespace(Settings=settings.Settings, predict=predict_sign)
    monkeypatch.setattr(registry.Recipe, "load", lambda self: module)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"recipe": "logistic", "settings": {}}')
    yield tmp_path / "run"
    assert "matplotlib.pyplot" not in sys.modules


def test_negative_numbers_are_inputs_wherever_they_stand(run_dir):
    code, out, err = call("predict", run_dir, "-4", "--json", "-.5", "3")
    assert code == 2  # they do not stand side by side
    code, out, err = call("predict", run_dir, "-4", "-.5", "3", "--json")
    assert (code, err) == (0, [])
    assert [(one["input"], one["prediction"]) for one in json.loads(out[0])] == [("-4", "-"), ("-.5", "-"), ("3", "+")]


def test_text_has_bars_and_notes(run_dir):
    code, out, _ = call("predict", run_dir, "0")
    assert code == 0
    assert out == ["0: - (toy)", f"  -   50.00%  {'#' * 20}", f"  +   50.00%  {'#' * 20}"]


def test_a_table_in_and_a_table_out(run_dir, tmp_path):
    (tmp_path / "in.csv").write_text("x\n0\n-200\n")
    code, out, err = call("predict", run_dir, tmp_path / "in.csv", "--csv", tmp_path / "out.csv")
    assert (code, err, out) == (0, [], [f"2 predictions written to {tmp_path / 'out.csv'}"])
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["input"] for row in rows] == [f"{tmp_path / 'in.csv'}, line {line}" for line in (2, 3)]
    assert [row["prediction"] for row in rows] == ["-", "-"]
    assert [float(row["probability of +"]) for row in rows] == [0.5, 0.0]
    assert rows[0]["notes"] == "toy"


def test_numbers_have_no_bars_and_no_sheet(run_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(registry.Recipe("x", "y", "z").load(), "predict", predict_double)
    assert call("predict", run_dir, "1.25", "--csv", tmp_path / "out.csv")[0] == 0
    assert (tmp_path / "out.csv").read_text() == "input,prediction\n1.25,2.5\n"
    assert call("predict", run_dir, "1.25")[1] == ["1.25: 2.5"]
    code, _, err = call("predict", run_dir, "1.25", "--sheet", tmp_path / "sheet.png")
    assert code == 2
    assert "predicts numbers, without probabilities to draw" in err[0]


def test_a_sheet_is_a_png(run_dir, tmp_path):
    code, out, _ = call("predict", run_dir, "1", "-2", "--sheet", tmp_path / "sheet.png")
    assert code == 0
    assert out[-1] == f"2 predictions written to {tmp_path / 'sheet.png'}"
    assert (tmp_path / "sheet.png").read_bytes()[:4] == b"\x89PNG"


def test_a_sheet_shows_each_input_and_how_sure_it_is():
    found = [
        {
            "input": f"a/{n}.png",
            "prediction": 3,
            "probabilities": {"3": 0.75, "5": 0.25},
            "notes": ["$ure", "50 " * 40],
            "image": torch.zeros(1, 28, 28),
        }
        for n in range(26)
    ]
    figure = sheets.predictions(found, "digits")
    assert figure.get_suptitle() == "digits (the first 24 of 26)"
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == [f"{n}.png\nprediction: 3\n\\$ure; {'50 ' * 10}50\n{'50 ' * 13}…" for n in range(24)]
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts == ["75.0%", "25.0%"] * 24


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--csv", ""], "--csv '': names no file"),
        (["--csv", "nowhere/out.csv"], "--csv nowhere/out.csv: there is no folder"),
        (["--sheets", "x"], "did you mean --sheet?"),
    ],
)
def test_a_bad_flag_is_one_sentence(run_dir, flags, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = call("predict", run_dir, "1", *flags)
    assert (code, out, len(err)) == (2, [], 1)
    assert message in err[0]


def test_help_says_what_each_recipe_takes(capsys):
    with pytest.raises(SystemExit):
        cli.main(["predict", "--help"])
    text = capsys.readouterr().out
    listed = [line.split(":")[0].strip() for line in predicting.inputs_of_recipes().splitlines() if line[2:3].strip()]
    able = [recipe.id for recipe in registry.RECIPES.values() if hasattr(recipe.load(), "predict")]
    assert listed[1:] == able
    assert all(f"  {name}: " in text for name in able)
    assert max(map(len, text.splitlines())) <= 80
