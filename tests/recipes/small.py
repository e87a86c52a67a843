"""What the tests of recipes share: a run by the command line within the process, and what it leaves."""

import contextlib
import dataclasses
import io
import json
import os
import sys
from pathlib import Path

import pytest

from funcdl import data
from recipes import cli


def sample(train=96, test=40):
    """The first of the sample's digits, so that an epoch takes a moment."""
    split = data.digits()
    return data.Split(*(tuple(leaf[:n] for leaf in part) for part, n in zip(split, (train, test), strict=True)))


def call(*arguments):
    """Runs a command line; returns its exit code and the lines on stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([str(argument) for argument in arguments])
    return code, out.getvalue().splitlines(), err.getvalue().splitlines()


def left_in(folder):
    """What must not depend on interruptions: the checkpoint's bytes and the rows, without seconds."""
    rows = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        del row["seconds"]
    return {path.name: path.read_bytes() for path in (Path(folder) / "checkpoint").iterdir()}, rows


def files(folder):
    """The content of everything under a folder."""
    return {path: path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def real_data(folder):
    """The folder with data sets, where it holds the one asked for; else the test is skipped."""
    path = os.environ.get("FUNCDL_DATA")
    if not path or not (Path(path) / folder).is_dir():
        pytest.skip(f"$FUNCDL_DATA names no folder with {folder}/")
    return Path(path)


def recording(settings_class, read):
    """The settings of a recipe; the set `read` gets the names of those that are read where it may have an effect.

    That is in the recipes, but not where settings are checked, saved, compared or copied, and in the command line only
    for those that are its own.
    """
    names = {field.name for field in dataclasses.fields(settings_class)}
    recipes = Path(cli.__file__).parent

    class Recording(settings_class):
        def __getattribute__(self, name):
            if name in names:
                code = sys._getframe(1).f_code
                path = Path(code.co_filename)
                where = path.relative_to(recipes).as_posix() if path.is_relative_to(recipes) else ""
                session = where == "running.py" and name in ("out", "resume", "json")
                elsewhere = where in ("", "running.py", "flags.py", "settings.py") or code.co_name in (
                    "check",
                    "recorded",
                )
                if session or not elsewhere:
                    read.add(name)
            return super().__getattribute__(name)

    return Recording


QUICK = ("basics", "regression")  # these run whole, with their defaults; the others for one epoch
SLOW = {"overfitting": ["--epochs", "20"], "optimizers": ["--epochs", "1"]}  # their own tests run these whole


def quick_flags(recipe):
    """The flags with which a run of a recipe shows all of its lines and takes a moment."""
    return SLOW.get(recipe.id, []) if recipe.folder in QUICK else ["--epochs", "1"]
