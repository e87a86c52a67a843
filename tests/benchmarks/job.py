"""The main job, whole processes: the book's plain PyTorch script beside `funcdl run digits-convnet`, on MNIST."""

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks import measure


def add_arguments(parser):
    parser.add_argument("--data-dir", default=os.environ.get("FUNCDL_DATA"), help="holds MNIST/raw; or $FUNCDL_DATA")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, interleaved")


def main(arguments):
    if arguments.data_dir is None:
        sys.exit("name the folder that holds MNIST/raw by --data-dir or $FUNCDL_DATA")
    with tempfile.TemporaryDirectory() as scratch:
        unpack(Path(arguments.data_dir) / "MNIST" / "raw", Path(scratch) / "data" / "MNIST" / "raw")
        ours = ["-m", "recipes", "run", "digits-convnet", "--dataset", "mnist", "--json"]
        ours += ["--data-dir", arguments.data_dir]
        jobs = {
            "plain PyTorch": ["-m", "tests.benchmarks.plain_job", f"{scratch}/data"],
            "funcdl fp32": ours,
            "funcdl bf16": [*ours, "--precision", "bf16"],
        }
        accuracies = {name: [] for name in jobs}

        def timed(name):
            def run():
                folder = tempfile.mkdtemp(dir=scratch)
                command = [sys.executable, *jobs[name], *(["--out", folder] if name != "plain PyTorch" else [])]
                started = time.perf_counter()
                output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                seconds = time.perf_counter() - started
                last = json.loads(output.splitlines()[-1])
                accuracies[name].append(last.get("metrics", last)["test_accuracy"])
                print(f"{name}: {seconds:.1f} s, test accuracy {accuracies[name][-1]:.4f}", flush=True)
                return seconds

            return run

        print("one run of each to fill the compile cache:")
        for name in jobs:
            timed(name)()
            accuracies[name].clear()
        print("measured:")
        seconds = measure.interleaved({name: timed(name) for name in jobs}, arguments.rounds)
    measure.table("MNIST, 2 epochs of batch 32 and two tests; wall time of the whole process", seconds)
    for name, values in accuracies.items():
        print(f"{name}: test accuracy {', '.join(f'{value:.4f}' for value in values)}")


def unpack(source, target):
    """Copies the IDX files, gunzipped where they are packed."""
    target.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        raw, packed = source / f"{name}-ubyte", source / f"{name}-ubyte.gz"
        with raw.open("rb") if raw.exists() else gzip.open(packed) as file, (target / raw.name).open("wb") as copy:
            shutil.copyfileobj(file, copy)
