"""Networks of several sizes, and on several numbers of points, all trained at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

import funcdl as fd
from funcdl import losses, optim, random, tree

from .. import members, pictures
from ..lesson import Lesson
from ..minimization import Minimizer
from ._remedies import NOISE, TEST_POINTS, network

SIZES = (1, 2, 4, 8, 16, 32, 64)
COUNTS = (5, 10, 20, 40, 80, 160)
POINTS, HIDDEN = 20, 16  # of the one where the other varies


def curve(x: Tensor) -> Tensor:
    """What the points are about: a line cannot follow it, and a network can."""
    return torch.sin(3 * x)


def padded(params: tree.Tree, like: tree.Tree) -> tree.Tree:
    """A network among zeros in a larger one: they add nothing, and their gradients are zero, so it stays the same."""

    def pad(leaf: Tensor, larger: Tensor) -> Tensor:
        result = torch.zeros_like(larger)
        result[tuple(slice(size) for size in leaf.shape)] = leaf
        return result

    return tree.map(pad, params, like)


@dataclass(frozen=True)
class Sweep:
    """What all networks of a sweep share: how they are trained, for how long, and how many there are of each kind."""

    minimize: Minimizer
    key: Tensor
    optimizer: optim.Transformation
    steps: int
    seeds: int


def train(
    sweep: Sweep, sizes: Sequence[int], counts: Sequence[int]
) -> tuple[Float[Tensor, "kinds seeds"], Float[Tensor, "kinds seeds"], Float[Tensor, "kinds seeds"]]:
    """Trains each pair of a size and a number of points; returns training and test losses, and a line's test losses."""
    device, seeds, kinds, rows = sweep.key.device, sweep.seeds, len(sizes), max(counts)
    test_x = torch.linspace(-1, 1, TEST_POINTS, device=device)[:, None]

    def draw(key: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x_key, noise_key, test_key = random.split(key, 3).unbind()
        x = 2 * random.uniform(x_key, (rows, 1)) - 1
        noise, test_noise = random.normal(noise_key, x.shape), random.normal(test_key, test_x.shape)
        return x, curve(x) + NOISE * noise, curve(test_x) + NOISE * test_noise

    start_key, data_key = random.split(sweep.key).unbind()
    x, y, test_y = (leaf.repeat(kinds, 1, 1) for leaf in fd.vmap(draw)(random.split(data_key, seeds)))
    like = members.initialize(network(max(sizes)), start_key, seeds, test_x)
    starts = [padded(members.initialize(network(size), start_key, seeds, test_x), like) for size in sizes]
    used = torch.tensor([[float(row < count) for row in range(rows)] for count in counts], device=device)
    weights = (used / used.sum(1, keepdim=True)).repeat_interleave(seeds, 0)[..., None]
    model = network(max(sizes))

    def loss(params: tree.Tree, x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
        return (weights * losses.mse(model(params, x), y, reduction="none")).sum()

    params, _ = sweep.minimize(
        lambda params, _: fd.vmap(fd.value_and_grad(loss))(params, x, y, weights),
        tree.map(lambda *leaves: torch.cat(leaves), *starts),
        members.each(sweep.optimizer),
        steps=sweep.steps,
        report=False,
    )
    training = fd.vmap(loss)(params, x, y, weights)
    test = fd.vmap(lambda params, y: losses.mse(model(params, test_x), y))(params, test_y)
    line = fd.vmap(_line)(x, y, weights, test_x.expand(len(x), -1, -1))
    by_line = (line - test_y).square().mean((1, 2))
    training, test, by_line = (values.unflatten(0, (kinds, seeds)) for values in (training, test, by_line))
    return training, test, by_line


def _line(x: Tensor, y: Tensor, weights: Tensor, test_x: Tensor) -> Tensor:
    """The straight line of least squares through weighted points, at other x."""
    mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
    slope = (weights * (x - mean_x) * (y - mean_y)).sum() / (weights * (x - mean_x) ** 2).sum()
    return mean_y + slope * (test_x - mean_x)


def _mark_noise(axes: Axes) -> None:
    axes.axhline(NOISE**2, color=pictures.GRAY, ls=":", label="variance of the noise")
    axes.legend(fontsize=8)


def sweep_sizes(lesson: Lesson, sweep: Sweep) -> Figure:
    """Grow until it fits, then shrink until it no longer overfits: the losses by the size of the network."""
    training, test, _ = train(sweep, SIZES, (POINTS,) * len(SIZES))
    shown = f"sin(3 x) with noise, {POINTS} points, hidden units {' '.join(map(str, SIZES))}"
    lesson.show("sizes_training", f"{shown}: training loss, mean of {sweep.seeds}", training.mean(1), "", 3)
    lesson.show("sizes_test", "the same networks: test loss", test.mean(1), "", 3)
    fits = [size for size, loss in zip(SIZES, training.mean(1).tolist(), strict=True) if loss < NOISE**2]
    text = f"grow until it fits: the first size whose training loss is below the variance of the noise, {NOISE**2:.2g}"
    lesson.show("size_that_fits", text, fits[0] if fits else "none in these steps")
    text = "then shrink until it no longer overfits: the size with the least test loss"
    lesson.show("size_to_keep", text, SIZES[int(test.mean(1).argmin())])
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    members.bands(axes, SIZES, {"training": training, "test": test}, "units of each hidden layer", "mean squared error")
    _mark_noise(axes)
    axes.set_xscale("log", base=2)
    axes.set_xticks(SIZES, [str(size) for size in SIZES])
    axes.set(title="Too small on the left; on the right only the training loss falls")
    return figure


def sweep_data(lesson: Lesson, sweep: Sweep) -> Figure:
    """The test loss of a network and of a straight line, by the number of training points."""
    _, test, line = train(sweep, (HIDDEN,) * len(COUNTS), COUNTS)
    shown = f"sin(3 x) with noise, {' '.join(map(str, COUNTS))} training points"
    lesson.show("data_network", f"{shown}: test loss of a network, mean of {sweep.seeds}", test.mean(1), "", 3)
    lesson.show("data_line", "the same points: test loss of a straight line", line.mean(1), "", 3)
    lesson.remark("More data is the surest remedy: the network goes on improving where the straight line has stopped.")
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    measured = {f"network, {HIDDEN} hidden units": test, "straight line": line}
    members.bands(axes, COUNTS, measured, "training points", "test loss")
    _mark_noise(axes)
    axes.set_xscale("log", base=2)
    axes.set_xticks(COUNTS, [str(count) for count in COUNTS])
    axes.set(title="With more data a network goes on learning, a line stops")
    return figure
