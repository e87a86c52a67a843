"""Networks that are trained on few points with a remedy against overfitting, several seeds at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

import funcdl as fd
from funcdl import losses, nn, optim, random, tree

from .. import members
from ..minimization import Minimizer

TEST_POINTS = 100  # as many as make the measured loss one of the network, not of its test data
NOISE = 0.3  # of the points, so that its square is the least loss that can be hoped for
REMEDIES = {
    "plain": "no remedy",
    "dropout": "dropout of 0.5 before each ReLU",
    "l1": "loss + l1 * sum |w|",
    "l2": "loss + l2 * sum w²",
    "noise": "noise on the inputs",
}


@dataclass(frozen=True)
class Points:
    """Training and test points about y = x, for each member its own."""

    x: Float[Tensor, "n 1"]
    y: Float[Tensor, "members n 1"]
    test_x: Float[Tensor, "m 1"]
    test_y: Float[Tensor, "members m 1"]


def draw(key: Tensor, count: int) -> Points:
    """Draws the points of so many members."""
    train_key, test_key = random.split(key).unbind()
    x, test_x = (torch.linspace(-1, 1, size, device=key.device)[:, None] for size in (20, TEST_POINTS))
    y, test_y = (
        at + NOISE * random.normal(one, (count, *at.shape)) for at, one in ((x, train_key), (test_x, test_key))
    )
    return Points(x, y, test_x, test_y)


def network(hidden: int, p: float = 0.0) -> nn.Layer:
    """The lesson's network; dropout with p = 0 does nothing."""
    one, two = (nn.serial(nn.linear(hidden), nn.dropout(p), nn.relu()) for _ in range(2))
    return nn.serial(one, two, nn.linear(1))


def train_with(
    remedy: str,
    minimize: Minimizer,
    points: Points,
    start: tree.Tree,
    step_keys: Tensor,
    optimizer: optim.Transformation,
    *,
    hidden: int,
    weights: dict[str, float],
    rows: bool,
) -> tuple[tree.Tree, dict[str, Tensor]]:
    """Returns the members' parameters, and by step the training and the test loss of each as it would be used.

    `weights` are those of the penalties, l1 and l2, and the deviation of the noise on the inputs.
    """
    model = network(hidden, 0.5 if remedy == "dropout" else 0.0)
    count = len(points.y)

    def objective(params: tree.Tree, y: Tensor, key: Tensor) -> Tensor:
        inputs = points.x
        if remedy == "noise":
            inputs = inputs + weights["noise"] * random.normal(key, inputs.shape)
        loss = losses.mse(model(params, inputs, key=key, train=True), y)  # no remedy draws twice
        if remedy == "l1":
            return loss + weights["l1"] * sum(leaf.abs().sum() for leaf in tree.leaves(params))
        if remedy == "l2":
            return loss + weights["l2"] * sum(leaf.square().sum() for leaf in tree.leaves(params))
        return loss

    def losses_of(params: tree.Tree, y: Tensor, test_y: Tensor) -> tuple[Tensor, Tensor]:
        # as it is used: without dropout, noise and penalty
        return losses.mse(model(params, points.x), y), losses.mse(model(params, points.test_x), test_y)

    def measure(params: tree.Tree, _: Tensor) -> dict[str, Tensor]:
        training, test = fd.vmap(losses_of)(params, points.y, points.test_y)
        return {"training": training, "test": test, "training_loss": training.mean(), "test_loss": test.mean()}

    def value_and_grad(params: tree.Tree, key: Tensor) -> tuple[Tensor, tree.Tree]:
        keys = random.split(key, count) if remedy in ("dropout", "noise") else key.expand(count, *key.shape)
        return fd.vmap(fd.value_and_grad(objective))(params, points.y, keys)

    return minimize(
        value_and_grad,
        start,
        members.each(optimizer),
        step_keys,
        measure=measure,
        rows=rows,
    )
