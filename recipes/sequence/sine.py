"""From the sine to the cosine: a curve read in windows, with the state of the network carried from one to the next."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

import funcdl as fd
from funcdl import losses, nn, optim, random, train, tree

from .. import pictures, runtime, settings
from ..axes import heading, legend_below
from ..settings import Outcome, at_least

POINTS = 10  # in a window


@dataclass(frozen=True, kw_only=True)
class Settings(settings.TrainingSettings):
    """Follow a sine and give its cosine: an RNN of 64 and a linear layer, ten points of half a wave per step.

    At a point the sine alone does not tell the cosine: it takes the direction in which the curve goes, which the state
    of the network knows. The state at the end of one window is the state at the start of the next; the gradient stops
    between them, as each step differentiates its own window only: the state is an argument, and what comes out of
    the step is a number like any other.

    The handbook leaves Adam's rate at 0.001, where, in plain PyTorch as here, every fourth seed or so ends with a loss
    above 0.01: the network loses the half wave it is in. At 0.0007 none of 20 seeds did. Another tutorial's settings:
    `--hidden 32 --lr 0.02 --epochs 100`.
    """

    epochs: int | None = None
    """Windows, a step each; 300."""
    lr: float = 7e-4
    """Adam's rate."""
    hidden: int = 64
    """The size of the state."""


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains along the curve by one scan over the windows, and draws the last of them."""
    at_least(1, hidden=settings.hidden)
    device = runtime.choose_device(settings.device)
    steps = settings.epochs or 300
    compiled = runtime.choose_compile(settings.compile, device, steps, report)
    time = windows(steps).to(device)

    rnn, out, optimizer = nn.rnn(settings.hidden), nn.linear(1), optim.adam(lr=settings.lr)
    rnn_key, out_key = random.split(random.key(settings.seed, device=device)).unbind()
    params = {
        "rnn": rnn.init(rnn_key, time[0].sin())[0],
        "out": out.init(out_key, time.new_empty(POINTS, settings.hidden))[0],
    }

    def loss(params: tree.Tree, hidden: Tensor, time: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        states, hidden = rnn(params["rnn"], {"input": time.sin(), "hx": hidden})
        predicted = out(params["out"], states)
        return losses.mse(predicted, time.cos()), (predicted, hidden)

    def step(carry: tree.Tree, time: Tensor) -> tuple[tree.Tree, tuple[Tensor, Tensor]]:
        params, optimizer_state, hidden = carry
        (value, (predicted, hidden)), grads = fd.value_and_grad(loss, has_aux=True)(params, hidden, time)
        updates, optimizer_state = optimizer.update(grads, optimizer_state, params)
        return (optim.apply_updates(params, updates), optimizer_state, hidden), (value, predicted)

    def follow(carry: tree.Tree, time: Tensor) -> tuple[tree.Tree, tuple[Tensor, Tensor]]:
        return fd.scan(step, carry, time)

    hidden = time.new_zeros(1, settings.hidden)
    follow = fd.jit(follow) if compiled else follow
    carry, (values, predicted) = follow((params, optimizer.init(params), hidden), time)
    for epoch, value in enumerate(values.tolist(), 1):
        if not math.isfinite(value):
            raise train.NonFiniteLossError(f"the loss of window {epoch} is {value}, not finite; try a lower --lr")
    if not all(torch.isfinite(leaf).all() for leaf in tree.leaves(carry[0])):
        raise train.NonFiniteLossError("the parameters are not finite after the last window; try a lower --lr")
    run = runtime.environment(device, compiled)
    report.save({"params": carry[0], "hidden": carry[2]}, {"windows": steps, "run": run})  # then it can be resumed
    report.restore_rows(0)
    for epoch, value in enumerate(values.tolist(), 1):
        if epoch % max(1, steps // 10) == 0 or epoch == steps:
            report.row({"epoch": epoch, "loss": value})
    report.picture("curves", picture(time.cpu(), predicted.cpu()))
    history = {f"RNN of {settings.hidden}": values.tolist()}
    report.picture("loss", pictures.loss_curves(history, "From the sine to the cosine", "window"))
    first, last = values[0].item(), values[-1].item()
    return Outcome({"first_loss": first, "loss": last}, steps, device.type, compiled)


def windows(count: int) -> Tensor:
    """The points in time (count, 10, 1): window number i has ten of them, evenly from i pi to (i + 1) pi."""
    within = torch.linspace(0, math.pi, POINTS, dtype=torch.float64)
    start = math.pi * torch.arange(count, dtype=torch.float64) % (2 * math.pi)
    return (start.view(-1, 1, 1) + within.view(1, -1, 1)).float()


def picture(time: Tensor, predicted: Tensor, shown: int = 4) -> Figure:
    """The first and the last windows: the sine, the cosine, and what the network gave before the step."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    heading(figure, "What the network says of the cosine, in the first and in the last windows")
    for axes, rows, title in zip(
        figure.subplots(1, 2, sharey=True),
        (slice(None, shown), slice(-shown, None)),
        ("first windows", "last windows"),
        strict=True,
    ):
        points, given = time[rows].flatten(), predicted[rows].flatten()
        along = torch.arange(len(points))
        axes.plot(along, points.sin(), "--", color=pictures.GRAY, label="sine (input)")
        axes.plot(along, points.cos(), "-", color=pictures.BLUE, label="cosine (target)")
        axes.plot(along, given, "o", color=pictures.ORANGE, label="network", markersize=4)
        axes.set(xlabel="point (10 in each half wave)", title=title)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("value")
    legend_below(figure)
    return figure
