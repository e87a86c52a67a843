"""`funcdl code ID`: a recipe's model, loss and step beside the same in plain PyTorch."""

from __future__ import annotations

import ast
import importlib
import importlib.resources
import inspect
import textwrap
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from . import registry
from .settings import SettingsError

BESIDE = "# beside:"  # begins the first line of a text: what of the recipe to show, then how it makes a step
STEPS = {"fit": "funcdl.train.step:make_step/step", "minimize": "funcdl.train.minimization:minimize/step"}
WIDE = 150  # columns from which the two stand side by side


def show(name: str, plain_only: bool) -> None:
    """Prints the code of a recipe, highlighted on a terminal.

    Raises:
        SettingsError: there is no such recipe, or it has no network to show.
    """
    recipe = registry.find(name)
    plain = plain_code(name)
    if plain_only:
        print(plain, end="")
        return
    from rich.columns import Columns
    from rich.console import Console
    from rich.panel import Panel
    from rich.syntax import Syntax

    console = Console()
    width = console.width // 2 if console.width >= WIDE else console.width
    texts = {f"{name} with funcdl": functional_code(name), f"{name} in plain PyTorch": plain}
    panels = [
        Panel(Syntax(text, "python", theme="ansi_dark", word_wrap=True, background_color="default"), title=title, width=width)
        for title, text in texts.items()
    ]
    console.print(Columns(panels, padding=0) if width < console.width else panels[0])
    if width == console.width:
        console.print(panels[1])
    print(f"The whole recipe is {inspect.getsourcefile(recipe.load())}")


def names() -> list[str]:
    """Returns the recipes whose code there is in plain PyTorch, too."""
    return [name for name in registry.RECIPES if _text(name).is_file()]


def plain_code(name: str) -> str:
    """Returns a script for a recipe in plain PyTorch, which makes `model` and `step`, and some of them data."""
    path = _text(name)
    if not path.is_file():
        raise SettingsError(f"code {name}: trains no network; its code is in the table that funcdl run {name} prints")
    return path.read_text(encoding="utf-8").partition("\n")[2]


def functional_code(name: str) -> str:
    """Returns the parts of a recipe's own source that make its model, its loss and its step."""
    places = _text(name).read_text(encoding="utf-8").partition("\n")[0].removeprefix(BESIDE).split()
    module = registry.find(name).load()
    parts = [quoted(module, place) for place in places if place not in STEPS]
    steps = [f"# The step, which is the same for all networks\n{quoted(module, STEPS[one])}" for one in places if one in STEPS]
    return "\n\n".join([*parts, *steps]) + "\n"


def quoted(module: ModuleType, place: str) -> str:
    """Returns the source of a function or of an assignment, without docstrings.

    Args:
        module: where it is.
        place: its name; `run/task` is what is called task in the function run, and `funcdl.nn:linear` is in another
            module, whose name begins with a dot if it is among the recipes.
    """
    other, _, path = place.rpartition(":")
    if other:
        module = importlib.import_module(other, module.__package__ if other.startswith("._") else __package__)
    source = inspect.getsource(module)
    node: Any = ast.parse(source)
    for name in path.split("/"):
        node = _found(node, name)
        if node is None:
            raise ValueError(f"{module.__name__} has no {place}")
    lines = source.splitlines()[_first(node) - 1 : node.end_lineno]
    for docstring in sorted(_docstrings(node), key=lambda one: -one.lineno):
        start = _first(node)
        del lines[docstring.lineno - start : docstring.end_lineno - start + 1]
    return textwrap.dedent("\n".join(lines)).rstrip()


def _found(node: Any, name: str) -> Any:
    for child in ast.walk(node):
        if child is node:
            continue
        if isinstance(child, (ast.FunctionDef, ast.ClassDef)) and child.name == name:
            return child
        if isinstance(child, ast.Assign) and any(name in _names(target) for target in child.targets):
            return child
    return None


def _names(target: ast.expr) -> Sequence[str]:
    return [one.id for one in ast.walk(target) if isinstance(one, ast.Name)]


def _first(node: Any) -> int:
    return min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])


def _docstrings(node: Any) -> list[Any]:
    owners = [one for one in ast.walk(node) if isinstance(one, (ast.FunctionDef, ast.ClassDef))]
    return [one.body[0] for one in owners if ast.get_docstring(one) is not None]


def _text(name: str) -> Any:
    return importlib.resources.files(__package__ or __name__) / "_modules" / f"{name.replace('-', '_')}.txt"
