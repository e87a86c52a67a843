"""What the command says of itself: a welcome, and the list of recipes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from . import registry
from .helptext import width

FIRST = (
    ("funcdl run tensors", "the first lesson: a table of code, its results and the tutorial's figures"),
    ("funcdl run digits-convnet", "train a network that reads handwritten digits; no download"),
    ("funcdl code digits-convnet", "its model, loss and training step, beside plain PyTorch"),
    ("funcdl list", "all recipes, from tensors to fine-tuning"),
    ("funcdl run ID --help", "what a recipe teaches, and its flags"),
)
LATER = (("funcdl predict RUN_DIR INPUT", "ask the network of a run about data of your own"),)


def welcome() -> str:
    """Returns what `funcdl` alone prints: what this is and what to do first."""
    return "\n".join(
        [
            *textwrap.wrap(
                f"funcdl: {len(registry.RECIPES)} recipes, one for every task of five PyTorch tutorials, "
                "written with pure functions. Each trains or computes something and explains what it shows.",
                width(),
            ),
            "",
            "Begin with:",
            *pairs(FIRST),
            "",
            "After a run, whose folder is in its last line:",
            *pairs(LATER),
        ]
    )


def listing() -> str:
    """Returns all recipes under the headings of their folders."""
    parts = []
    for folder, subject in registry.FOLDERS.items():
        recipes = [(recipe.id, recipe.summary) for recipe in registry.RECIPES.values() if recipe.folder == folder]
        parts.append("\n".join([f"{folder}: {subject}", *pairs(recipes)]))
    return "\n\n".join([*parts, "Run one: funcdl run ID\nSee its flags: funcdl run ID --help"])


def pairs(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Returns two columns of text as lines; the right one is wrapped."""
    longest = max(len(left) for left, _ in rows)
    indent = " " * (longest + 4)
    return [
        line
        for left, right in rows
        for line in textwrap.wrap(
            right, width(), initial_indent=f"  {left:{longest}}  ", subsequent_indent=indent, break_on_hyphens=False
        )
    ]
