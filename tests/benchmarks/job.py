"""Whole jobs, a recipe beside plain PyTorch: processes that train on MNIST, or epochs of names and sentiment."""

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks import measure, plain_digits, plain_sequences

MAIN = "digits-convnet"
ROOT = Path(__file__).parents[2]


def add_arguments(parser):
    jobs = [*plain_digits.JOBS, *plain_sequences.JOBS]
    parser.add_argument("id", nargs="?", default=MAIN, choices=jobs, help=f"the recipe; {MAIN} if none is named")
    parser.add_argument("--data-dir", default=os.environ.get("FUNCDL_DATA"), help="holds the data; or $FUNCDL_DATA")
    parser.add_argument("--rounds", type=int, help=f"runs of each, interleaved; 3 of {MAIN}, 1 of the others")
    parser.add_argument("--epochs", type=int, help="of both; the tutorial's of digits, 6 of names, 3 of sentiment")
    parser.add_argument("--only", metavar="NAME", help="one network of those that a recipe compares")
    parser.add_argument("--bf16", action="store_true", help="digits in bfloat16 too")


def main(arguments):
    if arguments.data_dir is None:
        sys.exit("name the folder with the data by --data-dir or $FUNCDL_DATA")
    data_dir = str(Path(arguments.data_dir).resolve())
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.id in plain_sequences.JOBS:
            measure_epochs(arguments, data_dir, scratch)
        else:
            measure_processes(arguments, data_dir, scratch)


def measure_processes(arguments, data_dir, scratch):
    """Wall time of whole processes, and what the networks reach on the test."""
    job = plain_digits.JOBS[arguments.id]
    if arguments.only and not (job.flag and arguments.only in job.networks):
        choices = ", ".join(job.networks) if job.flag else "one network only"
        sys.exit(f"--only {arguments.only}: {arguments.id} trains {choices}")
    unpack(Path(data_dir) / "MNIST" / "raw", Path(scratch) / "data" / "MNIST" / "raw")
    plain = ["tests.benchmarks.plain_digits", arguments.id, "data"]
    ours = ["recipes", "run", arguments.id, "--dataset", "mnist", "--json", "--data-dir", data_dir]
    if arguments.only:
        plain, ours = [*plain, "--only", arguments.only], [*ours, job.flag, arguments.only]
    compared = {"funcdl fp32": ours}
    if arguments.bf16:
        compared["funcdl bf16"] = [*ours, "--precision", "bf16"]

    print("an epoch of each network to fill the compile cache", flush=True)
    for command in compared.values():
        result([*command, "--epochs", "1", "--compile", "on"], scratch)
    epochs = ["--epochs", str(arguments.epochs)] if arguments.epochs else []
    commands = {"plain PyTorch": plain, **compared}
    accuracies = {name: [] for name in commands}

    def timed(name):
        def run():
            started = time.perf_counter()
            last, _ = result([*commands[name], *epochs], scratch)
            seconds = time.perf_counter() - started
            found = last["metrics"]
            by_network = {"": found} if "test_accuracy" in found else found
            told = "  ".join(
                f"{network * (len(by_network) > 1)} {one['test_accuracy']:.4f}".strip()
                for network, one in by_network.items()
            )
            accuracies[name].append(told)
            note = "" if last.get("compiled", True) else " (not compiled)"
            print(f"{name}{note}: {seconds:.1f} s, test accuracy {told}", flush=True)
            return seconds

        return run

    rounds = arguments.rounds or (3 if arguments.id == MAIN else 1)
    seconds = measure.interleaved({name: timed(name) for name in commands}, rounds)
    measure.table(
        f"{arguments.id}, MNIST, {arguments.epochs or job.epochs} epochs of batch {job.batch_size} with a test after "
        "each; wall time of the whole process",
        seconds,
    )
    for name, told in accuracies.items():
        print(f"{name}: test accuracy {', '.join(told)}")


def measure_epochs(arguments, data_dir, scratch):
    """Seconds of an epoch and its test, without the first epoch, in which the steps are compiled."""
    job = plain_sequences.JOBS[arguments.id]
    epochs = arguments.epochs or job.epochs
    if epochs < 2 or arguments.only or arguments.bf16:
        sys.exit(f"{arguments.id}: wants --epochs of 2 or more, as the first does not count; no --only and no --bf16")
    ours = ["tests.benchmarks.counted", arguments.id, "--dataset", arguments.id, "--compile", "on", "--json"]
    commands = {
        "plain PyTorch": ["tests.benchmarks.plain_sequences", arguments.id, data_dir],
        "funcdl": [*ours, "--data-dir", data_dir],
    }
    accuracies = {name: [] for name in commands}

    def run(name):
        last, said = result([*commands[name], "--epochs", str(epochs)], scratch)
        rows = last["rows"]
        accuracies[name].append(" ".join(f"{row['accuracy']:.4f}" for row in rows))
        times = [row["seconds"] for row in rows]
        print(f"{name}: seconds of each epoch {' '.join(f'{one:.2f}' for one in times)}", flush=True)
        if name == "funcdl":
            print(*(line for line in said.splitlines() if "a graph for each" in line))
            print(f"graphs compiled by the end of each epoch: {' '.join(str(row['graphs']) for row in rows)}")
        return times[1:]

    seconds = {name: [] for name in commands}
    for _ in range(arguments.rounds or 1):
        for name in commands:
            seconds[name] += run(name)
    measure.table(f"{arguments.id}, an epoch of batch {job.batch_size} and its test, from the second epoch on", seconds)
    for name, told in accuracies.items():
        print(f"{name}: accuracy after each epoch {', '.join(told)}")


def result(command, folder):
    """The JSON in the last line that a module's process prints, and its stderr; what it leaves is left in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, cwd=folder, env=environment, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def unpack(source, target):
    """Copies the IDX files, gunzipped where they are packed."""
    target.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        raw, packed = source / f"{name}-ubyte", source / f"{name}-ubyte.gz"
        with raw.open("rb") if raw.exists() else gzip.open(packed) as file, (target / raw.name).open("wb") as copy:
            shutil.copyfileobj(file, copy)
