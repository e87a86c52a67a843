"""Which recipes there are, and where: read without importing any of them."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from typing import Any

from recipes.settings import SettingsError


@dataclass(frozen=True)
class Recipe:
    """One entry of the list.

    Its module has `Settings`, a dataclass whose docstring is the lesson, and `run(settings, report) -> Outcome`; it may
    have `predict(settings, run_dir, inputs) -> list of predictions`.
    """

    id: str
    folder: str
    summary: str

    def load(self) -> Any:
        """Imports the recipe's module."""
        return importlib.import_module(f"recipes.{self.folder}.{self.id.replace('-', '_')}")


RECIPES = {
    recipe.id: recipe
    for recipe in (
        Recipe(
            "digits-convnet", "vision", "Handwritten digits by a convolutional network: train, evaluate, look, predict"
        ),
    )
}


def find(name: str) -> Recipe:
    """Returns the recipe of that name.

    Raises:
        SettingsError: there is none; the message has the nearest name.
    """
    if name in RECIPES:
        return RECIPES[name]
    near = difflib.get_close_matches(name, RECIPES, n=1)
    hint = f"did you mean '{near[0]}'?" if near else "see them with: python -m recipes list"
    raise SettingsError(f"there is no recipe '{name}'; {hint}")
