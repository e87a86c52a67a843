"""Two clouds of points in the plane: the smallest classification by a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

import funcdl as fd
from funcdl import losses, metrics, nn, optim, random, train, tree

from .. import pictures, runtime, scores, settings
from ..lesson import Lesson
from ..settings import Outcome

EACH = 100  # points of a class


@dataclass(frozen=True, kw_only=True)
class Settings(settings.TrainingSettings):
    """Separate two clouds of 100 points around (2, 2) and (-2, -2), of deviation 1, by a network 2-10-2.

    Ten hidden units with ReLU, 52 parameters, the cross entropy of two outputs, all points in every step. The clouds
    overlap a little: no classifier can be right more often than 99.77 %, the normal distribution at the square root of
    8. As many fresh points test what was learned.
    """

    epochs: int = 100
    """Steps, each on all points."""
    lr: float = 0.02
    """Learning rate."""


def draw(key: Tensor) -> tuple[Tensor, Tensor]:
    """Points (200, 2) of class 0 around (2, 2), then of class 1 around (-2, -2), and their classes."""
    classes = torch.arange(2, device=key.device).repeat_interleave(EACH)
    centres = torch.tensor([2.0, -2.0], device=key.device)[classes]
    return centres.unsqueeze(1) + random.normal(key, (2 * EACH, 2)), classes


def run(settings: Settings, report: train.Report) -> Outcome:
    """Descends on all points at once, and draws where the network sees which class."""
    device = runtime.choose_device(settings.device)
    compiled = runtime.choose_compile(settings.compile, device, settings.epochs, report)
    data_key, test_key, init_key = random.split(random.key(settings.seed, device=device), 3).unbind()
    (points, classes), test = draw(data_key), draw(test_key)
    model = nn.serial(hidden=nn.linear(10), relu=nn.relu(), predict=nn.linear(2))
    params, _ = model.init(init_key, points)

    def loss(params: tree.Tree, _: tree.Tree) -> Tensor:
        return losses.cross_entropy(model(params, points), classes)

    def measure(params: tree.Tree, _: tree.Tree) -> dict[str, Tensor]:
        return {"accuracy": metrics.accuracy(model(params, points), classes)}

    params, _ = train.minimize(
        fd.value_and_grad(loss),
        params,
        optim.sgd(lr=settings.lr),
        steps=settings.epochs,
        measure=measure,
        compile=compiled,
        report=report,
        info=runtime.environment(device, compiled),
    )

    lesson = Lesson()
    lesson.show("parameters", "tree.size(params)", tree.size(params), "52")
    for name, (x, y) in (("", (points, classes)), ("test_", test)):
        lesson.show(f"{name}loss", f"{name}loss", losses.cross_entropy(model(params, x), y))
        tutorial = "0.99" if not name else ""
        lesson.show(f"{name}accuracy", f"{name}accuracy", metrics.accuracy(model(params, x), y), tutorial)
    predicted, names = model(params, test[0]).argmax(1), ["0 (upper right)", "1 (lower left)"]
    scores.add_class_scores(
        lesson, report, predicted, test[1], names, "blobs: true and predicted class of 200 new points"
    )
    report.picture("regions", picture(lambda x: model(params, x).softmax(-1)[:, 1], points, classes))
    return Outcome(lesson.metrics, settings.epochs, device.type, compiled, lesson)


def picture(probability: Callable[[Tensor], Tensor], points: Tensor, classes: Tensor) -> Figure:
    """The plane, shaded by the probability of class 1, with the points of both classes."""
    figure = Figure(figsize=(5.6, 4.8), layout="constrained")
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
    axes.set(xlabel="x", ylabel="y", title="blobs: two clouds and the boundary learned", aspect="equal")
    axes.legend(loc="upper left")
    figure.colorbar(contours, ax=axes, label="probability of class 1")
    return figure
