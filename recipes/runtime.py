"""The environment of a run: the device, the threads, and whether its steps are compiled."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, get_args

import torch

from funcdl import data, train, tree
from funcdl.train import Report, files
from funcdl.transforms import missing_compiler

from .settings import Compile, Device, Settings, SettingsError

REPAY_STEPS = 2000  # on 2 cores compiling the convnet's step takes about as long as this many steps gain
REPAY_SMALL_STEPS = 20_000  # the same for a step of a few operations, where the compiled loop gains half a millisecond
ENVIRONMENT = {"device": str, "compiled": bool, "threads": int}
MOST_THREADS = 1024  # more than that, and the system may refuse to make them


def choose_device(wanted: Device) -> torch.device:
    """Returns the device to compute on.

    Raises:
        SettingsError: a GPU is wanted and there is none, or something else is wanted.
    """
    if wanted not in get_args(Device):
        raise SettingsError(f"--device {wanted}: must be {', '.join(get_args(Device))}")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise SettingsError("--device cuda: torch finds no CUDA device here; use --device cpu or auto")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def count_steps(batch_size: int, epochs: int, rows: int) -> int:
    """Returns the number of training steps in so many epochs over so many rows of data.

    Raises:
        SettingsError: the batch is larger than the data.
    """
    if batch_size > rows:
        raise SettingsError(f"--batch-size {batch_size}: must be at most {rows}, the samples to train on")
    return epochs * data.steps_per_epoch(rows, batch_size)


def choose_compile(wanted: Compile, device: torch.device, steps: int, report: Report, repay: int = REPAY_STEPS) -> bool:
    """Returns whether to compile a run of so many steps, and says why.

    Raises:
        SettingsError: `wanted` is none of its values.
    """
    if wanted not in get_args(Compile):
        raise SettingsError(f"--compile {wanted}: must be {', '.join(get_args(Compile))}")
    missing = missing_compiler() if wanted != "off" and device.type == "cpu" else None
    if missing:
        report.log(f"warning: compile: off, {missing}; the run takes longer")
        return False
    if wanted == "auto":
        compiled = steps >= repay
        relation = "enough" if compiled else "too few"
        report.log(f"compile: {'on' if compiled else 'off'} ({steps} steps are {relation} to repay it, from {repay})")
        return compiled
    report.log(f"compile: {wanted}")
    return wanted == "on"


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error is for want of memory; for a CPU's torch raises a plain RuntimeError."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)


def environment(device: torch.device, compiled: bool, **settings: Any) -> dict[str, Any]:
    """Returns what decides the bits of a run besides its settings; a run is resumed only where it is the same."""
    return {"device": device.type, "compiled": compiled, "threads": torch.get_num_threads(), **settings}


def restore_settings(settings: Settings, run_dir: Path) -> Settings:
    """Returns the settings to resume with: what `auto` chose when the run began. Also sets its number of threads.

    Raises:
        CheckpointError: the run's checkpoint is missing or damaged.
    """
    folder = run_dir / "checkpoint"
    run: Any = train.read_info(folder).get("run")
    wrong = files.find_mismatch(run, ENVIRONMENT)
    if not wrong and run["device"] not in ("cpu", "cuda"):
        wrong = f"at 'device' it has {files.quote(run['device'])}"
    if not wrong and not 1 <= run["threads"] <= MOST_THREADS:
        wrong = f"at 'threads' it has {run['threads']}"
    if wrong:
        raise train.CheckpointError(f"{folder}: is not a recipe's; it does not say how it was computed ({wrong})")
    torch.set_num_threads(run["threads"])
    chosen = {"device": run["device"], "compile": "on" if run["compiled"] else "off"}
    return dataclasses.replace(settings, **{name: value for name, value in chosen.items() if hasattr(settings, name)})


def load(folder: Path, like: tree.Tree) -> tree.Tree:
    """Loads the state of a run, to predict with.

    Raises:
        CheckpointError: there is none, it is of another model, or its parameters are not numbers.
    """
    state, _ = train.load(folder, like)
    check_finite(folder, state.params)
    return state


def check_finite(folder: Path, params: tree.Tree) -> None:
    """Refuses parameters of a checkpoint that nothing can be predicted with.

    Raises:
        CheckpointError: one of them is infinite or undefined.
    """
    for path, leaf in tree.leaves_with_paths(params):
        if not torch.isfinite(leaf).all():
            raise train.CheckpointError(f"{folder}: its parameter '{path}' is not finite; train again or use a copy")
