"""Which recipe shows which task of the tutorials, by which line or picture, and with which figure."""

from __future__ import annotations

import inspect
import re
import textwrap
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .helptext import width
from .lesson import written

TUTORIALS = {
    "book": "Deep Learning with PyTorch, from tensors to the thermometer",
    "handbook": "A handbook of PyTorch: tensors, a small network, fine-tuning, TensorBoard",
    "beginners": "A course for beginners: NumPy, activations, regression, batches, optimizers",
    "lectures": "Lectures on PyTorch, from a line to recurrent networks, with their exercises",
    "mastering": "Mastering PyTorch, chapter 1: layers, optimizers, a network for MNIST",
}
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|inf|nan", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task of a tutorial.

    Attributes:
        tutorial: a key of `TUTORIALS`.
        task: what it asks for.
        recipe: the recipe that shows it.
        flags: those that the recipe needs to show it.
        exact: lines of the recipe by name, and the figure of each, whatever the seed.
        shown: lines by name, and the tutorial's figure, which came from random numbers; empty where it has none.
        pictures: names of the pictures that show it.
        explained: what the recipe's help says of it.
    """

    tutorial: str
    task: str
    recipe: str
    flags: str = ""
    exact: Mapping[str, str] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)
    pictures: Sequence[str] = ()
    explained: Sequence[str] = ()


def read() -> dict[str, Task]:
    """Returns the tasks of all tutorials by name, from `tutorials.toml`."""
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    return {name: Task(**entry) for name, entry in tomllib.loads(text).items()}


def listing() -> str:
    """Returns all tasks under their tutorials: the command that shows each, and the lines and pictures to look at."""
    parts, tasks = [], read()
    for tutorial, title in TUTORIALS.items():
        parts.append("\n".join(textwrap.wrap(title, width())))
        parts += [_entry(name, task) for name, task in tasks.items() if task.tutorial == tutorial]
    meaning = (
        "A line has the name that it has in the run's result.json. What follows = is the tutorial's figure and the "
        "run's; what follows 'tutorial:' came from the tutorial's own random numbers."
    )
    return "\n\n".join([*parts, "\n".join(textwrap.wrap(meaning, width()))])


def _entry(name: str, task: Task) -> str:
    lines = [
        f"funcdl run {task.recipe} {task.flags}".rstrip(),
        *[f"{line} = {figure}" for line, figure in task.exact.items()],
        *[f"{line}{f', tutorial: {figure}' if figure else ''}" for line, figure in task.shown.items()],
        *[f"{picture}.png" for picture in task.pictures],
        *[f"funcdl run {task.recipe} --help: {words}" for words in task.explained],
    ]
    wrapped = textwrap.wrap(f"{name}: {task.task}", width(), initial_indent="  ", subsequent_indent="    ")
    for line in lines:
        wrapped += textwrap.wrap(line, width(), initial_indent=" " * 6, subsequent_indent=" " * 8)
    return "\n".join(wrapped)


def agrees(value: Any, figure: str) -> bool:
    """Whether a result is the figure: its numbers rounded to as many digits, or else its text.

    Where the figure ends in dots, it is the beginning of the result.

    >>> agrees([[7.0, 10.0], [15.0, 22.0]], "7 10, 15 22"), agrees(0.48649, "0.4866"), agrees([5, 6], "5 ...")
    (True, False, True)
    """
    begun, text = figure.removesuffix("..."), written(value, 17)
    expected, found = NUMBER.findall(begun), NUMBER.findall(text)
    if not expected or NUMBER.sub("", begun).strip(" ,"):  # words
        return text == figure
    if begun != figure:
        found = found[: len(expected)]
    return len(expected) == len(found) and all(map(_equal, found, expected))


def _equal(found: str, expected: str) -> bool:
    digits, _, exponent = expected.partition("e")
    unit = 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))  # of the last digit that is given
    whole = "." not in digits and not exponent
    return found == expected or abs(float(found) - float(expected)) <= (0.0 if whole else 0.501 * unit)


def missing(task: Task, settings_class: type, metrics: Mapping[str, Any], pictures: Sequence[str]) -> list[str]:
    """Returns what a recipe, whose run had these metrics and left these pictures, does not show of a task."""
    help_text = " ".join((inspect.getdoc(settings_class) or "").split())
    return [
        *[f"no line '{name}'" for name in [*task.exact, *task.shown] if name not in metrics],
        *[
            f"'{name}' is {written(metrics[name], 17)}, not {figure}"
            for name, figure in task.exact.items()
            if name in metrics and not agrees(metrics[name], figure)
        ],
        *[f"no picture '{name}'" for name in task.pictures if f"{name}.png" not in pictures],
        *[f"its help does not say '{words}'" for words in task.explained if words not in help_text],
    ]
