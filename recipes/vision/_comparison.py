"""Several networks trained alike and compared: the accuracy of each, and what it costs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

from funcdl import nn, train
from funcdl.train import checkpoint

from .. import pictures, runtime, training
from ..lesson import Lesson, Line
from ..settings import Outcome
from ..training import Task, Trained
from . import _digits
from ._digits import Settings


def run(
    settings: Settings,
    report: train.Report,
    tasks: Mapping[str, Task],
    title: str,
    tutorial: Mapping[str, str] | None = None,
) -> Outcome:
    """Trains the networks one after the other, with the same seed and so the same order of the data.

    Each has a folder of its own in the run's, with rows and checkpoints; a run that is resumed goes on with the network
    that it was at.

    Args:
        settings: of the recipe.
        report: gets the picture "comparison".
        tasks: by the name of the network; all have as many epochs.
        title: of the picture.
        tutorial: what the tutorial says of some of them, by name.

    Returns:
        Metrics by network: `loss accuracy test_loss test_accuracy parameters multiply_adds seconds`.
    """
    split = _digits.read_data(settings)
    first = next(iter(tasks.values()))
    compiled = training.choose_compile(settings, report, first, split.train)
    if not settings.resume:
        environment = runtime.environment(runtime.choose_device(settings.device), compiled)
        report.save({}, {"run": environment})  # from here on it can be resumed
    lesson = Lesson()
    for name, task in tasks.items():
        report.log(f"network: {name}")
        part = report.part(name)
        resume = settings.resume and part.directory is not None and checkpoint.exists(part.directory / "checkpoint")
        trained = training.fit(dataclasses.replace(settings, resume=resume), part, task, *split, compiled=compiled)
        part.close()
        costs = _costs(trained) | {"seconds": sum(row["seconds"] for row in part.rows)}
        lesson.metrics[name] = measurements = trained.measurements | costs
        lesson.lines.append(Line(name, _sentence(measurements), (tutorial or {}).get(name, "")))
    report.picture("comparison", pictures.comparison(lesson.metrics, f"{title} on {settings.dataset}"))
    return trained.outcome(lesson.metrics, lesson)


def _costs(trained: Trained) -> dict[str, Any]:
    with contextlib.redirect_stdout(None):  # its rows, not its table
        total = nn.summary(trained.task.model, _digits.normalize(trained.held_out[0][:1]))[0]
    return {"parameters": total.parameters, "multiply_adds": total.multiply_adds}


def _sentence(measurements: Mapping[str, float]) -> str:
    return (
        f"{measurements['test_accuracy']:.2%} of the test digits, {measurements['parameters']:,} parameters, "
        f"{measurements['multiply_adds']:,} multiply-adds an image, {measurements['seconds']:.1f} s"
    )
