"""Two clouds of points in the plane: the smallest classification by a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from funcdl import nn, optim, random, train, tree

from .. import inputs, optimizer_choice, pictures, predictions, scores, settings, training
from ..axes import heading, legend_below
from ..lesson import Lesson
from ..settings import Outcome
from ..training import Task

EACH = 100  # points of a class
CLASSES = ["0 (upper right)", "1 (lower left)"]
ROWS = 10


@dataclass(frozen=True, kw_only=True)
class Settings(settings.OptimizerSettings):
    """Separate two clouds of 100 points around (2, 2) and (-2, -2), of deviation 1, by a network 2-10-2.

    Ten hidden units with ReLU, 52 parameters, the cross entropy of two outputs, all points in every step. The clouds
    overlap a little: no classifier can be right more often than 99.77 %, the normal distribution at the square root of
    8. As many new points test what was learned.
    """

    epochs: int = 100
    """Steps, each on all points."""
    lr: float | None = None
    """Learning rate; by default 0.02 of SGD, else the usual one of --optimizer."""


def draw(key: Tensor) -> tuple[Tensor, Tensor]:
    """Points (200, 2) of class 0 around (2, 2), then of class 1 around (-2, -2), and their classes."""
    classes = torch.arange(2, device=key.device).repeat_interleave(EACH)
    centers = torch.tensor([2.0, -2.0], device=key.device)[classes]
    return centers.unsqueeze(1) + random.normal(key, (2 * EACH, 2)), classes


def make_task(settings: Settings) -> Task:
    """Returns what is trained: the network on all points at once."""
    return Task(
        nn.serial(hidden=nn.linear(10), relu=nn.relu(), predict=nn.linear(2)),
        optimizer_choice.choose(settings, lambda lr: optim.sgd(lr=lr), 0.02),
        settings.epochs,
        batch_size=2 * EACH,
        every=max(1, settings.epochs // ROWS),
        title="blobs: two clouds",
    )


def run(settings: Settings, report: train.Report) -> Outcome:
    """Descends on all points at once, and draws where the network sees which class."""
    data_key, test_key, state_key, order_key = random.split(random.key(settings.seed), 4).unbind()
    trained = training.fit(
        settings, report, make_task(settings), draw(data_key), draw(test_key), keys=(state_key, order_key)
    )
    lesson = Lesson()
    size = tree.size(trained.state.params)
    lesson.show("parameters", "number of parameters, tree.size(params)", size, "52")
    scores.add_measurements(lesson, trained.row, {"accuracy": "0.99"})
    new, classes = trained.held_out
    title = f"blobs: {len(classes)} new points"
    scores.add_class_scores(lesson, report, trained.predict(new).argmax(1), classes, CLASSES, title)
    report.picture("regions", picture(lambda x: trained.predict(x).softmax(-1)[:, 1], *trained.data))
    return trained.outcome(lesson.metrics, lesson)


def predict(settings: Settings, run_dir: Path, given: Sequence[str]) -> list[dict[str, Any]]:
    """Predicts the cloud of points x,y, on the command line or in a CSV with the columns x and y."""
    names, points = inputs.rows(given, ["x", "y"])
    task = make_task(settings)
    state = training.load(task, run_dir / "checkpoint", points)
    return predictions.of_classes(names, training.predict(task, state, points).softmax(-1), CLASSES)


def picture(probability: Callable[[Tensor], Tensor], points: Tensor, classes: Tensor) -> Figure:
    """The plane, shaded by the probability of class 1, with the points of both classes."""
    figure = Figure(figsize=(5.6, 5.2), layout="constrained")
    heading(figure, "Two clouds of points, and the boundary that the network learned")
    axes = figure.subplots()
    line = torch.linspace(-6, 6, 121, device=points.device)
    plane = torch.cartesian_prod(line, line)
    shade = probability(plane).view(121, 121).T.numpy(force=True)
    contours = axes.contourf(line.tolist(), line.tolist(), shade, levels=20, cmap="cividis", vmin=0, vmax=1)
    axes.contour(line.tolist(), line.tolist(), shade, levels=[0.5], colors="white")
    for label, color, marker in ((0, pictures.BLUE, "o"), (1, pictures.ORANGE, "^")):
        x, y = points[classes == label].unbind(1)
        axes.scatter(x.tolist(), y.tolist(), s=14, c=color, marker=marker, edgecolors="white", linewidths=0.4)
        axes.scatter([], [], c=color, marker=marker, label=f"class {label}")
    axes.set(xlabel="x", ylabel="y", aspect="equal")
    figure.colorbar(contours, ax=axes, label="probability of class 1")
    legend_below(figure)
    return figure
