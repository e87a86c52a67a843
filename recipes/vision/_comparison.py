"""Several networks trained alike and compared: the accuracy of each, and what it costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from funcdl import optim, train
from funcdl.train import checkpoint

from .. import architecture, pictures, runtime, training
from ..lesson import Lesson, Line
from ..settings import Outcome
from ..training import Task, Trained
from . import _digits
from ._digits import Settings

CHANCE = (
    "This is one seed. On the sample (355 test digits) the accuracy of one and the same network changes by one to five "
    "percentage points from seed to seed, so smaller differences are chance; compare several seeds (--seed)."
)


def run(
    settings: Settings,
    report: train.Report,
    tasks: Mapping[str, Task],
    title: str,
    tutorial: Mapping[str, str] | None = None,
    remark: str = "",
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
        remark: what to keep in mind about the differences.

    Returns:
        Metrics by network: `loss accuracy test_loss test_accuracy parameters multiply_adds seconds`, and the layers of
        the first.
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
        costs = _costs(trained, lesson if task is first else Lesson())
        costs |= {"seconds": sum(row["seconds"] for row in part.rows)}
        lesson.metrics[name] = measurements = trained.measurements | costs
        lesson.lines.append(Line(name, _sentence(measurements), (tutorial or {}).get(name, "")))
    measured = {name: lesson.metrics[name] for name in tasks}
    report.picture("comparison", pictures.comparison(measured, f"{title} on {settings.dataset}"))
    if remark:
        lesson.remark(remark)
    return trained.outcome(lesson.metrics, lesson)


def optimizer(settings: Settings) -> optim.Transformation:
    """The lecture's optimizer on MNIST; on the sample, which has few steps, one that is faster."""
    small = settings.dataset == "sample"
    return _digits.lecture_sgd(settings, 0.03 if small else 0.01, 0.9 if small else 0.5)


def predict(tasks: Mapping[str, Task], run_dir: Path, inputs: Sequence[str]) -> list[dict[str, Any]]:
    """What each of the networks that were compared reads in each picture."""
    return [
        {**one, "notes": [f"by {name}", *one["notes"]]}
        for name, task in tasks.items()
        for one in _digits.predict(run_dir / name, inputs, task)
    ]


def _costs(trained: Trained, lesson: Lesson) -> dict[str, Any]:
    inputs = training.prepared(trained.task, trained.held_out[0][:1])
    total = architecture.show_layers(lesson, trained.task.model, inputs)
    return {"parameters": total.parameters, "multiply_adds": total.multiply_adds}


def _sentence(measurements: Mapping[str, float]) -> str:
    return (
        f"reads {measurements['test_accuracy']:.2%} of the test digits right ({measurements['accuracy']:.2%} of the "
        f"training digits), {measurements['parameters']:,} parameters, "
        f"{measurements['multiply_adds']:,} multiply-adds per image, trained for {measurements['seconds']:.1f} s"
    )
