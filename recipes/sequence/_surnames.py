"""Surnames as a person writes them: what is taken, how it is read, and what the network has never seen of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from funcdl import data
from funcdl.data.errors import excerpt
from funcdl.data.names import MAX_LETTERS

from ..lesson import Lesson
from ..settings import SettingsError

WHAT = {
    "sample": "1,500 invented names of six invented languages, made by a rule",
    "names": "13,374 surnames to train on and 6,700 to test, of 18 countries",
}
FIGURES = {"parameters": "318,818", "test_accuracy": "0.84, at best 0.853", "majority": "0.468"}


def unseen(split: data.TextSplit) -> Bool[Tensor, " n"]:
    """Which of the test's names are not in the training data with the same country."""
    pairs = set(zip(split.train.texts, split.train.labels.tolist(), strict=True))
    return torch.tensor([pair not in pairs for pair in zip(split.test.texts, split.test.labels.tolist(), strict=True)])


def add_accuracies(
    lesson: Lesson, right: Float[Tensor, " n"], new: Bool[Tensor, " n"], tutorial: Mapping[str, str]
) -> None:
    """Adds the accuracy on the test's names (1 for each that is right), and on those of them that are new."""
    lesson.show("test_accuracy", "accuracy on all test names", right.mean(), tutorial.get("test_accuracy", ""))
    words = "accuracy on the test names that are not in the training data with the same country"
    lesson.show("test_accuracy_unseen", words, right[new].mean())
    share_seen = 1 - new.float().mean()
    lesson.show("test_share_seen", "share of the test names that are also in the training data", share_seen)


def fold(inputs: Sequence[str]) -> list[str]:
    """Returns the names in letters of ASCII.

    Raises:
        SettingsError: a name is empty, too long, or in letters that ASCII has not.
    """
    for name in inputs:
        if len(name) > MAX_LETTERS:
            raise SettingsError(
                f"predict: a name of {len(name):,} letters, '{excerpt(name)}', expected at most {MAX_LETTERS}"
            )
    folded = [data.fold_to_ascii(name.strip()) for name in inputs]
    for name, plain in zip(inputs, folded, strict=True):
        if not plain:
            raise SettingsError(f"predict: the name '{name}' is empty; give one letter or more")
        if not plain.isascii():
            strange = next(letter for letter in plain if not letter.isascii())
            raise SettingsError(f"predict: '{name}' has '{strange}', which no letter of ASCII stands for; romanize it")
    return folded


def notes(inputs: Sequence[str], folded: Sequence[str], letters: str) -> list[list[str]]:
    """Says of each name how it is read, and which of its letters the training data has not."""
    known, found = set(letters), []
    for name, plain in zip(inputs, folded, strict=True):
        strange = " ".join(sorted(set(plain) - known))
        found.append([f"read as {plain}"] * (plain != name) + [f"never saw the characters {strange}"] * bool(strange))
    return found
