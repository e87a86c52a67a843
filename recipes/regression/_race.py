"""The optimizers of the race: update rules that are vmapped over learning rates, and the batches."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import data, optim, random, tree

from .. import members
from ..settings import SettingsError

MOMENTUM, ALPHA, BETAS = 0.8, 0.9, (0.9, 0.99)
UPDATE_RULES = (  # the names of one line share one program
    (("gd",), optim.sgd(lr=0.01)),
    (("sgd", "momentum"), optim.sgd(lr=0.01, momentum=MOMENTUM)),
    (("adagrad",), optim.adagrad(lr=0.01)),
    (("adadelta",), optim.adadelta(lr=1.0)),
    (("rmsprop",), optim.rmsprop(lr=0.01, alpha=ALPHA)),
    (("adam",), optim.adam(lr=0.01, betas=BETAS)),
)


def parse_rates(text: str) -> list[float]:
    """Returns the numbers of a comma-separated list.

    Raises:
        SettingsError: one of them is not a positive number.
    """
    numbers = []
    for part in filter(None, text.split(",")):
        try:
            numbers.append(float(part))
        except ValueError:
            raise SettingsError(f"--lr {text}: '{part}' is no number; write --lr 0.001,0.01,0.1") from None
        if not 0 < numbers[-1] < float("inf"):
            raise SettingsError(f"--lr {text}: {part} must be a positive number")
    return numbers


def shuffled_batches(key: Tensor, points: tuple[Tensor, Tensor], epochs: int, batch_size: int) -> tuple[Tensor, ...]:
    """All batches of all epochs, stacked; the last of an epoch is padded with rows of weight 0."""
    rows, weights = data.padded_indices(len(points[0]), batch_size, device=key.device)
    orders = [random.permutation(random.fold_in(key, epoch), len(points[0]))[rows] for epoch in range(epochs)]
    order = torch.cat(orders)
    x, y = (leaf[order] for leaf in points)
    return x, y, weights.repeat(epochs, 1)[..., None]


def ensemble(optimizer: optim.Transformation, names: list[tuple[str, float]]) -> optim.Transformation:
    """The optimizer for members, each with its own rate, and momentum where the rule has one."""
    each = members.each(optimizer)

    def init(params: tree.Tree) -> tree.Tree:
        states = each.init(params)
        numbers = {"lr": torch.tensor([rate for _, rate in names], dtype=torch.float64)}
        if any(path.endswith("momentum") for path in optim.get_hyperparameters(states)):
            numbers["momentum"] = torch.tensor([MOMENTUM * (name == "momentum") for name, _ in names]).double()
        return optim.replace_hyperparameters(states, numbers)

    return optim.Transformation(init, each.update)
