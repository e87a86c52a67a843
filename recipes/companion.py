"""A file beside the checkpoint of a run: what its numbers stand for, such as words or the means of columns."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from funcdl import train
from funcdl.train import CheckpointError, files

from . import training
from .settings import TrainingSettings
from .training import Part, Task, Trained


def fit(
    settings: TrainingSettings,
    report: train.Report,
    task: Task,
    *data: Part,
    name: str,
    content: Mapping[str, Any],
    **options: Any,
) -> Trained:
    """Trains as `training.fit`, and leaves `content` in the file `name`.json, whose checksum is in the checkpoint.

    A run is resumed only where the content is the same.
    """
    text = json.dumps(content)
    if not settings.resume:
        report.text(f"{name}.json", text)
    task = dataclasses.replace(task, info={**task.info, name: hashlib.sha256(text.encode()).hexdigest()})
    trained = training.fit(settings, report, task, *data, **options)
    if settings.resume:  # now that it is known to be the run's
        report.text(f"{name}.json", text)
    return trained


def read(run_dir: Path, name: str, description: Any = dict) -> dict[str, Any]:
    """Reads the file that `fit` left in a run's folder and checks it by `funcdl.train.files.find_mismatch`.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    path = run_dir / f"{name}.json"
    again = "resume the run, which writes it again"
    try:
        text = files.read(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); {again}") from None
    try:
        content = files.parse(text)
    except ValueError:
        raise CheckpointError(f"{path}: is not JSON; {again}") from None
    run = train.read_info(run_dir / "checkpoint").get("run")
    if not isinstance(run, dict) or run.get(name) != hashlib.sha256(text).hexdigest():
        raise CheckpointError(f"{path}: is damaged (its checksum does not match the checkpoint's); {again}")
    wrong = files.find_mismatch(content, description)
    if wrong:
        raise CheckpointError(f"{path}: is not this recipe's ({wrong}); {again}")
    return dict(content)
