"""The cost of a line as a curve and as a surface, searched on a grid, with a descent on it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

import funcdl as fd
from funcdl import optim, train, tree

from .. import settings
from ..lesson import Lesson
from ..minimization import minimizer
from ..settings import Outcome
from . import _costs
from ._points import points

START = {"w": 0.5, "b": -2.0}  # of the descent that the pictures show


@dataclass(frozen=True, kw_only=True)
class Settings(settings.OptimizationSettings):
    """Find the w of y = w x by its cost at 41 values, and the w and b of y = w x + b by the cost on a grid.

    The cost is the mean squared error over (1, 2), (2, 4), (3, 6): a parabola (14/3) (w - 2)^2, and a long valley
    that turns with its lowest point at (2, 0). `vmap` makes the cost of one pair that of a grid of pairs. A grid of n
    values each has n^2 pairs for two parameters and n^k for k; a descent needs only the slope where it stands.
    """

    epochs: int | None = None
    """Updates of the descent over the surface; 300."""
    lr: float = 0.05
    """Its rate."""


def cost(params: tree.Tree, x: Tensor, y: Tensor) -> Tensor:
    """The mean squared error of y = w x + b."""
    return ((params["w"] * x + params["b"] - y) ** 2).mean()


def run(settings: Settings, report: train.Report) -> Outcome:
    """Evaluates the cost on both grids, finds the least, and descends to it."""
    epochs, lesson = settings.epochs or 300, Lesson()
    minimize = minimizer(settings, report, epochs)
    device = minimize.device
    x, y = points(device=device)
    w = torch.arange(41, dtype=x.dtype, device=device) / 10
    curve = fd.vmap(lambda w: cost({"w": w, "b": 0.0}, x, y))(w)
    lesson.show_code("grid", len(w), "41")
    lesson.show("curve", "cost(w) at w = 0, 1, 2, 3, 4", curve[::10], "18.6667 4.6667 0 4.6667 18.6667")
    distance = (curve - 14 / 3 * (w - 2) ** 2).abs().max()
    lesson.show("formula", "largest difference of the curve from the formula 14/3 (w - 2)^2", distance, "", 2)
    lesson.show_code("w", w[curve.argmin()], "2")
    lesson.show_code("loss", curve.min(), "0")

    b = torch.arange(-20, 21, dtype=x.dtype, device=device) / 10
    w_grid, b_grid = torch.meshgrid(w, b, indexing="ij")
    surface = fd.vmap(fd.vmap(cost, (0, None, None)), (0, None, None))({"w": w_grid, "b": b_grid}, x, y)
    lesson.show_code("surface", surface.shape, "a grid over w and b", preceding=2)
    row, column = divmod(int(surface.argmin()), len(b))
    lowest = torch.stack([w[row], b[column]])
    lesson.show("lowest", "w and b with the least cost on the grid", lowest, "2 0")
    lesson.show("lowest_cost", "the least cost on the grid", surface[row, column], "0")

    start = tree.map(lambda value: torch.tensor(value, dtype=x.dtype, device=device), START)
    value_and_grad = fd.value_and_grad(lambda params, _: cost(params, x, y))
    end, history = minimize(value_and_grad, start, optim.sgd(lr=settings.lr), steps=epochs, measure=_position)
    path = torch.cat([history["position"], _position(end, ())["position"][None]])
    lesson.show("descended", f"w, b after {epochs} updates from (0.5, -2)", path[-1])
    lesson.show(
        "evaluations", "numbers of evaluations: costs on the grid, gradients in the descent", [surface.numel(), epochs]
    )
    report.picture("curve", _costs.curve(w, curve))
    costs_of_path = fd.vmap(lambda position: cost({"w": position[0], "b": position[1]}, x, y))(path)
    report.picture("surface", _costs.surface(w_grid, b_grid, surface, path, costs_of_path))
    return minimize.outcome(lesson, epochs)


def _position(params: tree.Tree, _: tree.Tree) -> dict[str, Tensor]:
    return {"position": torch.stack([params["w"], params["b"]])}
