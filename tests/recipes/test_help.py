import dataclasses
import re
from pathlib import Path
from typing import Literal

import pytest

from recipes import flags, helptext, registry, settings
from recipes.settings import flag


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example(settings.BatchSettings):
    """First paragraph.

    Second paragraph, with far more words than fit on one line of any terminal, so that it has to be wrapped somewhere.
    """

    own: Literal["sgd", "adam"] = "sgd"
    """Says
    what it is."""
    many: Literal[tuple(f"choice-{number}" for number in range(20))] = "choice-3"
    """One of many."""
    rate: float | None = None
    """A rate."""


def page(name, defaults):
    return helptext.run_page(name, defaults)


@pytest.mark.parametrize("columns", [60, 80, 300])
@pytest.mark.parametrize("recipe", registry.RECIPES.values(), ids=lambda recipe: recipe.id)
def test_every_flag_is_there_in_plain_words_within_the_width(recipe, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    defaults = recipe.load().Settings()
    text = page(recipe.id, defaults)
    listed = re.findall(r"^  (--[a-z0-9-]+)", text, re.MULTILINE)
    assert sorted(listed) == sorted(flag(field.name) for field in dataclasses.fields(defaults))
    for field in dataclasses.fields(defaults):
        assert helptext.describe(type(defaults), field.name), f"{field.name} says nothing"
    assert not re.search(r"[{}]|None|INT\b|FLOAT|typing|<class", text)
    assert max(map(len, text.splitlines())) <= min(columns, helptext.WIDEST)
    assert type(defaults).__doc__.split()[:5] == text.split("\n\n")[1].split()[:5]


def test_a_flag_says_what_it_takes_what_it_does_and_its_default(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = page("example", Example())
    blocks = {block[0]: " ".join(" ".join(block[1:]).split()) for block in entries(text)}
    assert blocks["  --own sgd|adam"] == "Says what it is. By default sgd."
    assert blocks["  --many NAME"].startswith("One of many. One of choice-0, choice-1,")
    assert blocks["  --rate NUMBER"] == "A rate."
    assert blocks["  --batch-size WHOLE NUMBER"] == "Samples per step."
    assert blocks["  --data-dir PATH"].endswith("~/.cache/funcdl.")
    assert "  --json" in blocks
    assert text.index("--own") < text.index("--epochs") < text.index("flags of every recipe") < text.index("--out")


def entries(text):
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("  --")]
    for start in starts:
        end = start + 1
        while end < len(lines) and lines[end].startswith("      "):
            end += 1
        yield lines[start:end]


@pytest.mark.parametrize(
    ("name", "word", "value"),
    [("epochs", "3", 3), ("rate", "0.5", 0.5), ("own", "adam", "adam"), ("data_dir", "x", Path("x"))],
)
def test_a_flag_takes_what_its_help_says(name, word, value):
    assert getattr(flags.parse(Example, "example", [flag(name), word]), name) == value
