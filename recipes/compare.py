"""`funcdl compare RUN_DIR RUN_DIR ...`: what differs between several runs, as a table and a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from . import compare_picture, summary, tables
from .lesson import written
from .settings import SettingsError, flag
from .summary import Summary
from .terminal import escaped

LONGEST = 40  # characters of a result that the table has
OWN = ("recipe", "dataset", "seed", "epochs", "seconds", "device", "compiled")  # of every run, beside its results

Runs = Mapping[str, Summary]


def compare(run_dirs: Sequence[Path], picture: Path | None, as_json: bool) -> None:
    """Prints a table of several runs, and draws their curves, or else their results.

    Raises:
        SettingsError: there are fewer than two, one is no finished run, or they have nothing in common to compare.
        OSError: the picture cannot be written.
    """
    runs = _read(run_dirs)
    results = _in_common(runs)
    differing = _differing(runs)
    path = picture or Path("runs") / "comparisons" / f"{datetime.now():%Y%m%d-%H%M%S-%f}.png"
    drawn = compare_picture.draw({name: run.rows for name, run in runs.items()}, results, differing)
    if as_json:
        found = {name: {"settings": run.settings, **run.result} for name, run in runs.items()}
        print(json.dumps({"runs": found, "picture": str(path) if drawn else None}))
    else:
        own = {name: [run.result[name] for run in runs.values()] for name in OWN}
        own = {name: values for name, values in own.items() if name == "seconds" or len(set(values)) > 1}
        settings = {name: values for name, values in differing.items() if name[2:] not in own}
        table = {name: list(map(_text, values)) for name, values in {**own, **settings, **results}.items()}
        shown = {name: texts for name, texts in table.items() if max(map(len, texts)) <= LONGEST}
        tables.print_columns("runs compared", ["", *runs], [[name, *texts] for name, texts in shown.items()])
        if left := [name for name in table if name not in shown]:
            print(tables.wrapped(f"Too long for the table, see funcdl show: {', '.join(left)}", 79))
    if drawn:
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.savefig(path, format="png", dpi=120)
        if not as_json:
            print(f"the picture is {escaped(str(path))}")


def _read(run_dirs: Sequence[Path]) -> Runs:
    if len(run_dirs) < 2:
        raise SettingsError(f"compare {run_dirs[0]}: is one run only; name two or more")
    names = [path.resolve().name for path in run_dirs]
    runs: dict[str, Summary] = {}
    for path, name in zip(run_dirs, names, strict=True):
        name = name if names.count(name) == 1 else str(path)
        if name in runs or path.resolve() in [other.resolve() for other in run_dirs[: len(runs)]]:
            raise SettingsError(f"compare {path}: is named twice; name each run once")
        runs[name] = summary.read(path)
    return runs


def _differing(runs: Runs) -> dict[str, list[Any]]:
    """The settings that all runs have but not all alike, by their flags."""
    settings = [run.settings for run in runs.values()]
    values = {name: [one[name] for one in settings] for name in settings[0] if all(name in one for one in settings)}
    return {flag(name): of_runs for name, of_runs in values.items() if len(set(map(repr, of_runs))) > 1}


def _in_common(runs: Runs) -> dict[str, list[Any]]:
    metrics = [_flat(run.result["metrics"]) for run in runs.values()]
    names = [name for name in metrics[0] if all(name in other for other in metrics)]
    if not names:
        recipes = sorted({run.result["recipe"] for run in runs.values()})
        raise SettingsError(
            f"compare: runs of {' and '.join(recipes)} have no result in common; name runs of one recipe"
        )
    return {name: [one[name] for one in metrics] for name in names}


def _flat(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The results by name; those of a part of the run with its name before theirs."""
    flat: dict[str, Any] = {}
    for name, value in metrics.items():
        parts = {f"{name} {inner}": one for inner, one in value.items()} if isinstance(value, dict) else {name: value}
        flat |= parts
    return flat


def _text(value: Any) -> str:
    return "by default" if value is None else written(value).replace("\n", "; ")
