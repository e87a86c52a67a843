"""`funcdl code ID`: a recipe's model, loss and step beside the same in plain PyTorch."""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

from . import registry, tables
from .settings import SettingsError

BESIDE = "# beside:"  # begins the first line of a text: what of the recipe to show, then how it makes a step
STEPS = {"fit": "funcdl.train.step:make_step/step", "minimize": "funcdl.train.minimization:minimize/step"}
FOLDER = Path(__file__).parent / "_modules"
WIDE = 150  # columns from which the two stand side by side


def show(name: str, plain_only: bool) -> None:
    """Prints the code of a recipe, highlighted on a terminal.

    Raises:
        SettingsError: there is no such recipe, or the plain script is asked for and there is none.
    """
    module = registry.find(name).load()
    if plain_only:
        print(plain_code(name), end="")
        return
    from rich.columns import Columns
    from rich.console import Console
    from rich.panel import Panel
    from rich.syntax import Syntax

    console = Console()
    texts = {f"{name} with funcdl": functional_code(name)}
    if name in names():
        texts[f"{name} in plain PyTorch"] = plain_code(name)
    across = len(texts) if console.width >= WIDE else 1
    panels = [
        Panel(
            Syntax(text, "python", theme="ansi_dark", background_color="default", word_wrap=True),
            title=title,
            width=console.width // across,
        )
        for title, text in texts.items()
    ]
    console.print(Columns(panels, padding=0))
    print(tables.wrapped(f"The whole recipe: {inspect.getsourcefile(module)}", console.width))


def names() -> list[str]:
    """Returns the recipes whose code there is in plain PyTorch, too."""
    return [name for name in registry.RECIPES if _text(name).is_file()]


def plain_code(name: str) -> str:
    """Returns a script for a recipe in plain PyTorch, which makes `model` and `step`, and some of them data."""
    if name not in names():
        raise SettingsError(f"code {name}: trains no network, so there is no plain script; leave --plain out")
    return _text(name).read_text(encoding="utf-8").partition("\n")[2]


def functional_code(name: str) -> str:
    """Returns the parts of a recipe's own source that make its model, its loss and its step."""
    if name not in names():
        return quoted(registry.find(name).load(), "run") + "\n"
    places = _text(name).read_text(encoding="utf-8").partition("\n")[0].removeprefix(BESIDE).split()
    module = registry.find(name).load()
    parts = [quoted(module, place) for place in places if place not in STEPS]
    steps = [
        f"# The step, which is the same for all networks\n{quoted(module, STEPS[one])}"
        for one in places
        if one in STEPS
    ]
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
            raise ValueError(f"{module.__name__} has no {place}; correct the first line of the text in _modules/")
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
        if isinstance(child, (ast.Assign, ast.AnnAssign)) and name in _names(child):
            return child
    return None


def _names(node: ast.Assign | ast.AnnAssign) -> list[str]:
    """The names that a statement assigns to."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]


def _first(node: Any) -> int:
    return min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])


def _docstrings(node: Any) -> list[Any]:
    owners = [one for one in ast.walk(node) if isinstance(one, (ast.FunctionDef, ast.ClassDef))]
    return [one.body[0] for one in owners if ast.get_docstring(one) is not None]


def _text(name: str) -> Path:
    return FOLDER / f"{name.replace('-', '_')}.txt"
