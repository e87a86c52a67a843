"""The table of the tutorials' tasks: what it says shows a task is shown; test_every_recipe.py looks at default runs."""

import json
import shlex

import pytest

from funcdl import data
from recipes import registry, tutorials
from recipes.settings import Settings
from tests.recipes.small import call, quick_flags, real_data, sample

TASKS = tutorials.read()
WITH_FLAGS = sorted({(task.recipe, task.flags) for task in TASKS.values() if task.flags})


def test_every_task_is_shown_by_something():
    for name, task in TASKS.items():
        assert task.exact or task.shown or task.pictures or task.explained, name
        assert task.recipe in registry.RECIPES, name
        assert task.tutorial in tutorials.TUTORIALS, name
    assert len(TASKS) >= 142  # as many as the five tutorials have


def test_every_recipe_shows_a_task():
    assert {task.recipe for task in TASKS.values()} == registry.RECIPES.keys()


@pytest.mark.parametrize(("recipe", "flags"), WITH_FLAGS, ids=[" ".join(pair) for pair in WITH_FLAGS])
def test_a_run_with_these_flags_shows_its_tasks(recipe, flags, tmp_path, monkeypatch):
    words = shlex.split(flags)
    if "--dataset tutorial" in flags:
        words += [
            "--data-dir",
            str(real_data("wine")),
        ]
    if recipe.startswith("digits-"):
        split = sample(200)
        monkeypatch.setattr(data, "digits", lambda: split)
    entry = registry.RECIPES[recipe]
    code, out, err = call("run", recipe, *words, *quick_flags(entry), "--json", "--out", tmp_path / "run")
    assert code == 0, err
    metrics, pictures = json.loads(out[-1])["metrics"], [path.name for path in (tmp_path / "run").glob("*.png")]
    for name, task in TASKS.items():
        if (task.recipe, task.flags) == (recipe, flags):
            assert tutorials.missing(task, entry.load().Settings, metrics, pictures) == [], name


@pytest.mark.parametrize(
    ("value", "figure", "agrees"),
    [
        (1763.8846435546875, "1763.8846", True),
        (1763.8847, "1763.8846", False),
        ([2.0, 0.0], "2 0", True),
        ([2.0, 0.1], "2 0", False),
        ([2.0, 0.0, 1.0], "2 0", False),
        ([2.0, 0.0, 1.0], "2 0 ...", True),
        (3.2978e-2, "3.298e-2", True),
        (3.2989e-2, "3.298e-2", False),
        (-4.829869388965469e92, "-4.829869388965469e+92", True),
        (True, "True", True),
        (False, "True", False),
        ("torch.float64", "torch.float64", True),
        ("torch.float32", "torch.float64", False),
    ],
)
def test_a_figure_is_that_of_the_result_to_its_last_digit(value, figure, agrees):
    assert tutorials.agrees(value, figure) is agrees


def test_what_is_missing_is_named():
    task = tutorials.Task(
        tutorial="book",
        task="",
        recipe="tensors",
        exact={"w": "1.5", "b": "2"},
        shown={"loss": ""},
        pictures=["fit"],
        explained=["no such words"],
    )
    assert tutorials.missing(task, Settings, {"w": 1.6}, ["losses.png"]) == [
        "no line 'b'",
        "no line 'loss'",
        "'w' is 1.6, not 1.5",
        "no picture 'fit'",
        "its help does not say 'no such words'",
    ]


@pytest.mark.parametrize("columns", [60, 80])
def test_the_list_of_tutorials_has_every_task_and_its_command(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, err = call("list", "--tutorials")
    assert (code, err) == (0, [])
    text = " ".join(" ".join(out).split())
    for name, task in TASKS.items():
        assert f"{name}: {task.task} funcdl run {task.recipe}" in text
    assert max(map(len, out)) <= columns
    code, out, _ = call("list", "--tutorials", "--json")
    assert code == 0
    assert json.loads(out[0])["conv1x1-cost"]["exact"]["cost_narrow"] == "12443648"
