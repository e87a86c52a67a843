"""Descents on a surface in two dimensions, by our optimizers and by torch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

import funcdl as fd
from funcdl import optim, random, train

from ..axes import heading, legend_below
from ..pictures import COLORS, GRAY, STYLES

BEGIN, STEPS = torch.tensor([-5.0, -2.0], dtype=torch.float64), 40
# our optimizer, torch's, and the arguments of both, with rates that make the paths easy to see
OPTIMIZERS: dict[str, tuple[Callable[..., Any], Callable[..., Any], dict[str, Any]]] = {
    "gd": (optim.sgd, torch.optim.SGD, {"lr": 0.4}),
    "sgd": (optim.sgd, torch.optim.SGD, {"lr": 0.4}),
    "momentum": (optim.sgd, torch.optim.SGD, {"lr": 0.2, "momentum": 0.7}),
    "adagrad": (optim.adagrad, torch.optim.Adagrad, {"lr": 1.0}),
    "adadelta": (optim.adadelta, torch.optim.Adadelta, {"lr": 100.0}),
    "rmsprop": (optim.rmsprop, torch.optim.RMSprop, {"lr": 0.4, "alpha": 0.9}),
    "adam": (optim.adam, torch.optim.Adam, {"lr": 0.4, "betas": (0.9, 0.99)}),
}


def height(point: Tensor) -> Tensor:
    """A valley, steep across and nearly flat along."""
    return 0.1 * point[0] ** 2 + 2 * point[1] ** 2


def descend(key: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns the paths, and the distance of each from torch's with the same gradients; those of SGD are noisy."""
    noise = random.normal(key, (STEPS, 2), dtype=torch.float64).cpu()
    paths, differences = {}, {}

    def value_and_grad(point: Tensor, extra: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = fd.value_and_grad(height)(point)
        return value, gradient + extra

    for name, (ours, theirs, arguments) in OPTIMIZERS.items():
        extras = noise * (name == "sgd")
        end, history = train.minimize(
            value_and_grad, BEGIN, ours(**arguments), extras, measure=lambda point, _: {"point": point.clone()}
        )
        paths[name] = torch.cat([history["point"], end[None]])

        weight = BEGIN.clone().requires_grad_()
        optimizer, points = theirs([weight], **arguments), [BEGIN]
        for extra in extras:
            optimizer.zero_grad()
            (height(weight) + extra @ weight).backward()
            optimizer.step()
            points.append(weight.detach().clone())
        differences[name] = (paths[name] - torch.stack(points)).abs().max()
    return paths, differences


def by_hand_is_sgd(lr: float = 0.4) -> bool:
    """Whether the step of the manual loop is that of `optim.sgd`."""
    gradient, optimizer = fd.grad(height)(BEGIN), optim.sgd(lr=lr)
    updates, _ = optimizer.update(gradient, optimizer.init(BEGIN), BEGIN)
    return torch.equal(BEGIN - lr * gradient, optim.apply_updates(BEGIN, updates))


def picture(paths: dict[str, Tensor]) -> Figure:
    """The paths over the contours of the surface."""
    figure = Figure(figsize=(7.2, 5.2), layout="constrained")
    axes = figure.subplots()
    x, y = torch.meshgrid(torch.linspace(-5.6, 2, 120), torch.linspace(-3, 3, 120), indexing="xy")
    heights = height(torch.stack([x, y]))
    axes.contour(x.numpy(), y.numpy(), heights.numpy(), levels=14, colors=GRAY, linewidths=0.6)
    for index, (name, path) in enumerate(paths.items()):
        color, style = COLORS[index], STYLES[index % 4]
        axes.plot(*path.T.tolist(), style, color=color, marker="o", markersize=2.5, lw=1.3, label=name)
    axes.plot(0, 0, "k*", markersize=11)
    heading(figure, f"{STEPS} steps of each optimizer down 0.1 x² + 2 y², which is least at the star")
    axes.set(xlabel="x", ylabel="y", xlim=(-5.6, 2), ylim=(-3, 3))
    legend_below(figure)
    return figure
