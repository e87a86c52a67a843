"""The command `predict`: what the model of a run says of inputs, as text, JSON, a CSV table or a picture."""

from __future__ import annotations

import argparse
import ast
import csv
import io
import json
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import flags, registry
from .settings import SettingsError
from .terminal import escaped

Prediction = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """Adds what the command takes, and returns the words of the command line as the parser understands them.

    A negative number, which is no flag, gets a space before it.
    """
    parser.add_argument("run_dir", metavar="RUN_DIR", help="the folder of a run")
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="what the recipe of that run takes; see below")
    parser.add_argument("--csv", metavar="FILE", help="write the predictions to this file, as a table")
    parser.add_argument("--sheet", metavar="FILE", help="draw the inputs and how sure the network is, as a PNG file")
    if words[0] != "predict":
        return list(words)
    if {"-h", "--help"} & set(words):
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.epilog = inputs_of_recipes()
    return [f" {word}" if re.match(r"-[0-9.]", word) else word for word in words]


def inputs_of_recipes() -> str:
    """What each recipe that can predict takes: the first line of its `predict`, which is read without importing it."""
    lines = ["what the recipes take:"]
    for recipe in registry.RECIPES.values():
        path = Path(__file__).parent / recipe.folder / f"{recipe.id.replace('-', '_')}.py"
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name == "predict":
                words = " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
                lines += textwrap.wrap(f"{recipe.id}: {words}", 78, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)


def run(known: argparse.Namespace) -> None:
    """Predicts for the inputs, writes the files that are asked for, and prints the predictions.

    Raises:
        SettingsError: the recipe of the run predicts nothing, or has no probabilities to draw.
        WriteError: a file cannot be written.
    """
    run_dir = flags.folder("predict RUN_DIR", known.run_dir)
    table, sheet = _file("--csv", known.csv), _file("--sheet", known.sheet)
    predictions, name = _predict(run_dir, [text.removeprefix(" ") for text in known.inputs])
    from funcdl.train import files

    if sheet:
        if not all("probabilities" in one for one in predictions):
            raise SettingsError(
                f"--sheet {sheet}: '{name}' predicts numbers, without probabilities to draw; leave it out, or write a "
                "table with --csv"
            )
        from . import sheets

        files.write_atomically(sheet, sheets.png(predictions, f"{name}: what it predicts, and how sure it is"))
    if table:
        files.write_atomically(table, _csv(predictions).encode())
    if known.json:
        print(json.dumps([{name: value for name, value in one.items() if name != "image"} for one in predictions]))
        return
    if table is None:
        for one in predictions:
            _print(one)
    for path in filter(None, (table, sheet)):
        print(f"{len(predictions)} prediction{'s'[: len(predictions) != 1]} written to {escaped(str(path))}")


def _file(flag: str, text: str | None) -> Path | None:
    path = None if text is None else flags.folder(flag, text, "file")
    if path and not path.absolute().parent.is_dir():
        raise SettingsError(f"{flag} {path}: there is no folder {path.absolute().parent}; make it first")
    return path


def _predict(run_dir: Path, inputs: list[str]) -> tuple[list[Prediction], str]:
    """The predictions, and the recipe of the run."""
    from . import results

    config = results.read_config(run_dir)
    recipe = registry.find(config["recipe"])
    module = recipe.load()
    if not hasattr(module, "predict"):
        raise SettingsError(f"{run_dir}: is a run of '{recipe.id}', which has nothing to predict")
    return module.predict(results.read_settings(module.Settings, config, run_dir), run_dir, inputs), recipe.id


def _csv(predictions: Sequence[Prediction]) -> str:
    labels = dict.fromkeys(label for one in predictions for label in one.get("probabilities", {}))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    notes = any(one.get("notes") for one in predictions)
    writer.writerow(["input", "prediction", *(f"probability of {label}" for label in labels), *["notes"][: int(notes)]])
    for one in predictions:
        probabilities = one.get("probabilities", {})
        cells = [one["input"], one["prediction"], *(probabilities.get(label, "") for label in labels)]
        writer.writerow([*cells, *["; ".join(one.get("notes", []))][: int(notes)]])
    return text.getvalue()


def _print(one: Prediction) -> None:
    from .lesson import written

    notes = "".join(f" ({note})" for note in one.get("notes", []))
    print(escaped(f"{one['input']}: {written(one['prediction'])}{notes}"))
    probabilities = {escaped(label): value for label, value in one.get("probabilities", {}).items()}
    width = max(map(len, probabilities), default=0)
    for label, probability in probabilities.items():
        print(f"  {label:<{width}}  {probability:7.2%}  {'#' * round(40 * probability)}")
