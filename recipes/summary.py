"""What a finished run leaves to read: `result.json` with all of its results, and `lesson.md`, the same as a page."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from funcdl.train import files
from funcdl.train.report import format_number

from .lesson import Lesson, Line
from .settings import Outcome, SettingsError, flag

RESULT, LESSON = "result.json", "lesson.md"
Row = dict[str, float]
TEXTS, NUMBERS = ("recipe", "dataset", "device", "run_dir"), ("seed", "epochs", "seconds")
KINDS = {
    "result": {**dict.fromkeys(TEXTS, str), **dict.fromkeys(NUMBERS, float), "compiled": bool, "metrics": dict},
    "settings": dict,
    "rows": [{str: float}],
    "lines": [dict.fromkeys(("expression", "result", "tutorial"), str)],
    "remarks": [str],
    "pictures": [str],
}


@dataclass(frozen=True)
class Summary:
    """The results of a run.

    Attributes:
        result: what `funcdl run --json` prints.
        settings: those of the run that decide its results, by name.
        rows: what was measured, a row for each epoch that has one.
        lines: the table of the lesson.
        remarks: the sentences below it.
        pictures: names of the files in its folder.
    """

    result: dict[str, Any]
    settings: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)


def write(
    run_dir: Path, result: dict[str, Any], settings: dict[str, Any], rows: Sequence[Row], lesson: Lesson
) -> Summary:
    """Writes the summary of a run into its folder, and returns it.

    Raises:
        WriteError: it cannot be written.
    """
    pictures = sorted(path.relative_to(run_dir).as_posix() for path in run_dir.rglob("*.png"))
    summary = Summary(result, settings, [dict(row) for row in rows], lesson.lines, lesson.remarks, pictures)
    files.write_atomically(run_dir / RESULT, (json.dumps(asdict(summary), indent=1) + "\n").encode())
    files.write_atomically(run_dir / LESSON, page(summary).encode(errors="backslashreplace"))
    return summary


def read(run_dir: Path) -> Summary:
    """Reads the summary of a run.

    Raises:
        SettingsError: the run has none, as it is not finished, or it is damaged.
        CheckpointError: it is no regular file, or far too large.
    """
    path = run_dir / RESULT
    try:
        found = files.parse(files.read(path))
        wrong = files.find_mismatch(found, KINDS)
        if wrong:
            raise SettingsError(f"{path}: is not a run's ({wrong}); run it again with --resume")
        return Summary(**{**found, "lines": [Line(**line) for line in found["lines"]]})
    except OSError as error:
        raise SettingsError(
            f"{run_dir}: holds no finished run ({RESULT}: {error.strerror}); finish it with --resume, or name another"
        ) from None
    except (SettingsError, files.CheckpointError):
        raise
    except (TypeError, ValueError):
        raise SettingsError(f"{path}: is damaged or not a run's; run it again with --resume") from None


def lesson_of(outcome: Outcome) -> Lesson:
    """The lesson of a run, with a line for each of its metrics, so that the text has what JSON has."""
    lesson = outcome.lesson or Lesson()
    for name, value in outcome.metrics.items():
        if name not in lesson.metrics:
            lesson.show(name, name.replace("_", " "), value)
    return lesson


def title(result: dict[str, Any]) -> str:
    """What was run, in a few words."""
    return f"{result['recipe']} on {result['dataset']}, seed {result['seed']}"


def measured(row: Row) -> dict[str, str]:
    """The numbers of a row as text, by name."""
    return {name: f"{value:g}" if name == "epoch" else format_number(value) for name, value in row.items()}


def page(summary: Summary) -> str:
    """The summary as a page of Markdown."""
    result, parts = summary.result, [f"# {title(summary.result)}"]
    parts.append("\n".join(f"![{Path(name).stem}]({name})" for name in summary.pictures))
    if summary.rows:
        names = list(dict.fromkeys(name for row in summary.rows for name in row))
        parts.append(_table(names, [[measured(row).get(name, "") for name in names] for row in summary.rows]))
    if summary.lines:
        cells = [[line.expression, line.result, line.tutorial] for line in summary.lines]
        parts.append(_table(["expression", "result", "tutorial"], cells))
    parts.append("\n".join(f"- {remark}" for remark in summary.remarks))
    values = {flag(name): "by default" if value is None else str(value) for name, value in summary.settings.items()}
    parts.append(_table(["setting", "value"], [list(pair) for pair in values.items()]))
    compiled = "compiled" if result["compiled"] else "not compiled"
    parts.append(f"Epochs: {result['epochs']}; {result['seconds']} s on {result['device']}, {compiled}.")
    return "\n\n".join(filter(None, parts)) + "\n"


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return re.sub(r"([\\|*_`<\[\]])", r"\\\1", text).replace("\n", "<br>")
