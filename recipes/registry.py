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
        Recipe("digits-rows", "sequence", "Handwritten digits, read row by row by an LSTM"),
        Recipe("hello", "sequence", "Letters of hello to ohlol by an RNN, with and without embedding, LSTM or GRU"),
        Recipe("names", "sequence", "The country of a surname, by its letters and a bidirectional GRU: train, predict"),
        Recipe("sentiment", "sequence", "What a phrase of a film review thinks of the film, by an LSTM or a transformer"),
        Recipe("sine", "sequence", "From the sine to the cosine, ten points at a time, with the state carried on"),
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
