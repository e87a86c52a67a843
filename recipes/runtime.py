"""Where and how a recipe computes: the device, and whether compiling pays."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from funcdl import data, train
from funcdl.train import Report
from funcdl.transforms.inductor import missing_compiler
from recipes.settings import BatchSettings, Compile, Device, Settings, SettingsError

REPAY_STEPS = 2000  # on 2 cores compiling the convnet's step takes about as long as this many steps gain
REPAY_SMALL_STEPS = 20_000  # the same for a step of a few operations, where the compiled loop gains half a millisecond


def choose_device(wanted: Device) -> torch.device:
    """Returns the device to compute on.

    Raises:
        SettingsError: a GPU is wanted and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise SettingsError("--device cuda: torch finds no CUDA device here; use --device cpu or auto")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def count_steps(settings: BatchSettings, epochs: int, rows: int) -> int:
    """Returns the number of training steps in so many epochs over so many rows of data.

    Raises:
        SettingsError: the batch is larger than the data.
    """
    if settings.batch_size > rows:
        raise SettingsError(f"--batch-size {settings.batch_size}: must be at most {rows}, the samples to train on")
    return epochs * data.steps_per_epoch(rows, settings.batch_size)


def choose_compile(wanted: Compile, device: torch.device, steps: int, report: Report, repay: int = REPAY_STEPS) -> bool:
    """Returns whether to compile a run of so many steps, and says why."""
    missing = missing_compiler() if wanted != "off" and device.type == "cpu" else None
    if missing:
        report.say(f"warning: compile: off, {missing}; the run takes longer")
        return False
    if wanted == "auto":
        compiled = steps >= repay
        relation = "enough" if compiled else "too few"
        report.say(f"compile: {'on' if compiled else 'off'} ({steps} steps are {relation} to repay it, from {repay})")
        return compiled
    report.say(f"compile: {wanted}")
    return wanted == "on"


def environment(device: torch.device, compiled: bool, **settings: Any) -> dict[str, Any]:
    """What decides the bits of a run beside its settings: saved in its checkpoints, and required to resume it."""
    return {"device": device.type, "compiled": compiled, "threads": torch.get_num_threads(), **settings}


def restore(settings: Settings, run_dir: Path) -> Settings:
    """Returns the settings to go on with: what `auto` chose when the run began; its number of threads is set at once.

    Raises:
        CheckpointError: the run's checkpoint is missing or damaged.
    """
    made = train.read_info(run_dir / "checkpoint").get("run", {})
    if not made.keys() >= {"device", "compiled", "threads"}:
        raise train.CheckpointError(f"{run_dir / 'checkpoint'}: is not a recipe's; it does not say how it was computed")
    torch.set_num_threads(made["threads"])
    chosen = {"device": made["device"], "compile": "on" if made["compiled"] else "off"}
    return dataclasses.replace(settings, **{name: value for name, value in chosen.items() if hasattr(settings, name)})
