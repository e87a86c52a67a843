import json
import re

import pytest

from recipes import cli, overview, registry
from tests.recipes.small import call


@pytest.fixture(params=[60, 80, 200], ids=lambda columns: f"{columns}_columns", autouse=True)
def columns(request, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


def test_alone_the_command_says_what_to_do_first(columns):
    code, out, err = call()
    assert (code, err) == (0, [])
    named = re.findall(r"^  funcdl (\S+) (\S+)", "\n".join(out), re.MULTILINE)
    assert named[0] == ("run", "tensors")
    assert {command for command, _ in named} <= cli.COMMANDS.keys()
    assert {word for command, word in named if command in ("run", "code") and word != "ID"} <= registry.RECIPES.keys()
    assert max(map(len, out)) <= columns


def test_the_list_has_every_recipe_under_its_folder(columns):
    code, out, err = call("list")
    assert (code, err) == (0, [])
    listed = dict.fromkeys(registry.FOLDERS, "")
    for block in "\n".join(out).split("\n\n"):
        folder, _, rest = block.partition(":")
        listed[folder] = rest
    for recipe in registry.RECIPES.values():
        assert f"\n  {recipe.id} " in listed[recipe.folder]
        words = recipe.summary.split()
        assert re.search(r"\s+".join(map(re.escape, words)), listed[recipe.folder])
    assert max(map(len, out)) <= columns
    code, out, _ = call("list", "--json")
    assert code == 0
    assert len(out) == 1
    assert [recipe["id"] for recipe in json.loads(out[0])] == list(registry.RECIPES)


def test_a_column_keeps_its_place_when_the_text_beside_it_is_wrapped(columns):
    lines = overview.pairs([("a", "word " * 60), ("bcd", "one")])
    assert lines[0].startswith("  a    word")
    assert all(line.startswith("       word") for line in lines[1:-1])
    assert lines[-1] == "  bcd  one"
