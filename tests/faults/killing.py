"""Runs killed, or refused by the system, just before a file operation, and resumed; a program of its own, as it forks.

`python -m tests.faults.killing FOLDER KILLS ERRORS SCENARIO...` prints a line of JSON per scenario: how many moments
there were, and what differs from the uninterrupted run. It is killed at every KILLS-th, refused at every ERRORS-th.
"""

import builtins
import contextlib
import errno
import io
import json
import os
import re
import sys
import traceback
from pathlib import Path

import torch
from matplotlib.figure import Figure
from PIL import Image

from funcdl import data, models
from funcdl.train import loop
from recipes import cli
from recipes.sequence import names
from recipes.vision import digits_cnn_deep
from tests.recipes.small import sample

SCENARIOS = {
    "descend": ["blobs", "--epochs", "3"],
    "sine": ["sine", "--epochs", "3", "--hidden", "2"],
    "fit": ["hello", "--epochs", "2"],
    "best": ["names", "--epochs", "2", "--batch-size", "16", "--validation", "0.3"],
    "comparison": ["digits-cnn-deep", "--epochs", "1", "--batch-size", "16"],
}
OPERATIONS = ("open", "write", "fsync", "replace", "rename", "unlink", "mkdir", "rmdir", "truncate", "ftruncate")
KILLED = 99
ERRORS = (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO)


def make_small():
    """Tiny data, networks and pictures, and a checkpoint after each step."""
    loop.SAVE_SECONDS = -1.0
    digits_sample, names_sample = sample(32, 8), data.synthetic_names()
    few = [part._replace(texts=part.texts[::30], labels=part.labels[::30]) for part in names_sample[:2]]
    names_sample = names_sample._replace(train=few[0], test=few[1])
    data.digits = lambda: digits_sample
    data.synthetic_names = lambda: names_sample
    names.network = lambda classes: models.name_classifier(classes, hidden_size=2)
    digits_cnn_deep.SIZES = {"S": ((1, 1, 2), (4, 4)), "M": ((1, 2, 2), (4, 4))}
    png = io.BytesIO()
    Image.new("L", (2, 2)).save(png, "PNG")
    Figure.savefig = lambda figure, file, **options: file.write(png.getvalue())


class Moments:
    """Counts file operations, and acts just before number `at`."""

    def __init__(self, at, act):
        self.count, self.at, self.act = 0, at, act
        for name in OPERATIONS:
            setattr(os, name, self.watched(name, getattr(os, name)))
        opened = builtins.open
        builtins.open = lambda file, mode="r", *rest, **options: (
            (self.look("open", [file]) if set(mode) & set("wax+") else None) or opened(file, mode, *rest, **options)
        )

    def watched(self, name, operation):
        def call(*arguments, **options):
            self.look(name, arguments, operation)
            return None if name == "fsync" else operation(*arguments, **options)  # a kill needs no disk

        return call

    def look(self, name, arguments, operation=None):
        self.count += 1
        if self.count - 1 == self.at:
            if name == "write":  # half of it
                operation(arguments[0], arguments[1][: len(arguments[1]) // 2])
            self.act(self.at, name)


def run(arguments, told, at=-1, act=None):
    """Runs a command line in a forked process, which ends as that does; what it says goes to the file `told`."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            with Path(told).open("w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                moments = Moments(at, act) if at is not None else None
                try:
                    code = cli.main([str(argument) for argument in arguments])
                except BaseException:
                    traceback.print_exc()
                if moments:
                    print(f"\n{moments.count}")
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def without_times(value):
    """The results of a run without its folder and without what is measured in seconds."""
    if isinstance(value, dict):
        return [(key, without_times(one)) for key, one in value.items() if key not in ("seconds", "run_dir")]
    if isinstance(value, list):
        return [without_times(one) for one in value]
    return re.sub(r"[0-9.]+ (s|seconds)\b", "", value) if isinstance(value, str) else value


def left_in(folder):
    """What must not depend on interruptions: all files but events; rows with their order and without seconds."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if path.name == "metrics.jsonl":
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            found[name] = [[(key, value) for key, value in row.items() if key != "seconds"] for row in rows]
        elif path.name == "result.json":
            found[name] = without_times(json.loads(path.read_text()))
        elif path.name == "lesson.md":  # the same as a page
            found[name] = path.stat().st_size > 0
        elif path.is_file() and "tfevents" not in path.name:
            found[name] = path.read_bytes()
    return found


def survey(folder, scenario, strides):
    """Stops a scenario's run before every so many file operations, and tells what then differs after a resume."""
    flags, told = [*SCENARIOS[scenario], "--json"], folder / "told"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert cli.main(["run", *flags, "--out", str(folder / "warm")]) == 0  # all is imported before it forks
    assert run(["run", *flags, "--out", folder / "whole"], told, at=-1) == 0, told.read_text()
    count = int(told.read_text().splitlines()[-1])
    whole, wrong = left_in(folder / "whole"), {}
    moments = [(fault, moment) for fault, stride in strides.items() for moment in range(0, count, stride)]
    for fault, moment in moments:
        out = folder / f"{fault} {moment}"
        stopped = run(["run", *flags, "--out", out], told, moment, FAULTS[fault])
        if found := FOUND[fault](stopped, told.read_text(), out):
            wrong[out.name] = found
            continue
        begun = (out / "config.json").exists()  # before that there is no run to resume
        code = run(["run", *([flags[0], "--resume"] if begun else flags), "--out", out], told, None)
        if code:
            wrong[out.name] = told.read_text().splitlines()[-1]
        elif (found := left_in(out)) != whole:
            wrong[out.name] = sorted(name for name in found.keys() | whole.keys() if found.get(name) != whole.get(name))
    return {"scenario": scenario, "moments": count, "wrong": wrong}


def kill(moment, name):
    os._exit(KILLED)


def fail(moment, name):
    code = ERRORS[moment % len(ERRORS)]
    raise OSError(code, os.strerror(code))


def not_killed(code, said, out):
    return None if code == KILLED else f"ended with {code}: {said}"


def not_one_sentence(code, said, out):
    """What is wrong with the answer to an error of the operating system, if anything is."""
    if code == 0:  # making a folder that is there already
        return None
    lines = [line for line in said.splitlines() if line.startswith("funcdl: ")]
    errors = [os.strerror(code) for code in ERRORS]
    good = len(lines) == 1 and str(out) in lines[0] and any(f"({error}); " in lines[0] for error in errors)
    return None if code == 2 and good and "Traceback" not in said else f"ended with {code}: {said}"


FAULTS = {"kill": kill, "error": fail}
FOUND = {"kill": not_killed, "error": not_one_sentence}


if __name__ == "__main__":
    torch.set_num_threads(1)
    make_small()
    folder, (kills, errors, *scenarios) = Path(sys.argv[1]), sys.argv[2:]
    for scenario in scenarios:
        (folder / scenario).mkdir()
        print(json.dumps(survey(folder / scenario, scenario, {"kill": int(kills), "error": int(errors)})), flush=True)
