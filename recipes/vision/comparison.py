"""Several networks trained alike and set side by side: the accuracy of each, and what it costs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping

from funcdl import nn, train
from funcdl.train import checkpoint

from .. import pictures, runtime
from ..lesson import Lesson, Line
from ..settings import Outcome
from . import digits
from .digits import Network, Settings


def run(
    settings: Settings,
    report: train.Report,
    networks: Mapping[str, Network],
    title: str,
    tutorial: Mapping[str, str] | None = None,
) -> Outcome:
    """Trains the networks one after the other, with the same seed and so the same order of the data.

    Each has a folder of its own in the run's, with rows and checkpoints; a run that is resumed goes on with the network
    that it was at.

    Args:
        settings: of the recipe.
        report: gets the picture "comparison".
        networks: by name.
        title: of the picture.
        tutorial: what the tutorial says of some of them, by name.

    Returns:
        Metrics by network: `loss accuracy test_loss test_accuracy parameters multiply_adds seconds`.
    """
    if not settings.resume:
        device = runtime.choose_device(settings.device)
        first = next(iter(networks.values()))  # all are trained for as many epochs
        _, compiled = digits.plan(settings, report, first, digits.read_data(settings, device))
        settings = dataclasses.replace(settings, compile="on" if compiled else "off")
        report.save({}, {"run": runtime.environment(device, compiled)})  # from here on it can be resumed
    lesson = Lesson()
    for name, network in networks.items():
        report.log(f"network: {name}")
        part = report.part(name)
        begun = part.directory is not None and checkpoint.exists(part.directory / "checkpoint")
        trained = digits.fit(dataclasses.replace(settings, resume=settings.resume and begun), part, network)
        part.close()
        measured = {key: value for key, value in part.rows[-1].items() if key != "epoch"}
        measured |= _cost(network, trained) | {"seconds": sum(row["seconds"] for row in part.rows)}
        lesson.metrics[name] = measured
        lesson.lines.append(Line(name, _told(measured), (tutorial or {}).get(name, "")))
    report.picture("comparison", pictures.comparison(lesson.metrics, f"{title} on {settings.dataset}"))
    used = trained.split.train[1].device.type
    return Outcome(lesson.metrics, trained.epochs, used, trained.compiled, lesson)


def _cost(network: Network, trained: digits.Trained) -> dict[str, int]:
    with contextlib.redirect_stdout(None):  # its rows, not its table
        whole = nn.summary(network.model, network.normalise(trained.split.test[0][:1]))[0]
    return {"parameters": whole.parameters, "multiply_adds": whole.multiply_adds}


def _told(measured: Mapping[str, float]) -> str:
    return (
        f"{measured['test_accuracy']:.2%} of the test digits, {measured['parameters']:,} parameters, "
        f"{measured['multiply_adds']:,} multiply-adds an image, {measured['seconds']:.1f} s"
    )
