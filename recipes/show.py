"""`funcdl show RUN_DIR`: the results of a run again, its settings, and where its pictures are."""

from __future__ import annotations

import json
from pathlib import Path

from . import overview, summary, tables
from .settings import flag
from .terminal import escaped


def show(run_dir: Path, as_json: bool) -> None:
    """Prints what a finished run has left in its folder.

    Raises:
        SettingsError: it holds no finished run, or a damaged one.
    """
    found = summary.read(run_dir)
    if as_json:
        print(json.dumps(found.result))
        return
    tables.print_summary(found)
    if found.settings:
        print("\nSettings:")
        values = {flag(name): "by default" if value is None else str(value) for name, value in found.settings.items()}
        print("\n".join(overview.pairs([(escaped(name), escaped(value) or "none") for name, value in values.items()])))
    if found.pictures:
        print("\nPictures:")
        print("\n".join(f"  {escaped(str(run_dir / name))}" for name in found.pictures))
    print(f"\nAll of this as a page: {escaped(str(run_dir / summary.LESSON))}")
