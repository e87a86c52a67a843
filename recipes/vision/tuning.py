"""Training what a network has to learn anew, and its other parts more slowly or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

import funcdl as fd
from funcdl import data, losses, metrics, nn, optim, random, train, tree
from funcdl.train import checkpoint

from .. import runtime
from .pretrained import EVALUATION_BATCH, Task

ROWS = 10  # of each way, spread over its epochs


class Plan(NamedTuple):
    """How long to train, how fast, and whether to go on with what was begun."""

    epochs: int
    batch_size: int
    lr: float
    resume: bool


@dataclass(frozen=True)
class Way:
    """One way to tune: the part of the network that learns at the full rate, and the rate of the rest beside it."""

    what: str
    trained: Literal["head", "middle", "all"]
    rest: float = 0.0
    handbook: str = ""
    drawn: bool = False  # whether it begins with parameters at random


def tune(task: Task, way: Way, plan: Plan, report: train.Report, key: Tensor, compiled: bool) -> train.TrainState:
    """Trains what the way says, at the rates it says."""
    adam, fast = optim.adam(lr=plan.lr), parts(task, way)
    slow = optim.adam(lr=way.rest * plan.lr) if way.rest else optim.freeze("*")
    groups = {**dict.fromkeys(fast, "new"), "*": "old"}
    optimizer = adam if "*" in fast else optim.partition({"new": adam, "old": slow}, groups)
    model = task.model if way.drawn else held(task, way)

    order_key, step_key = random.split(random.fold_in(key, 1)).unbind()
    zero = torch.zeros((), dtype=torch.int64, device=key.device)
    state = train.TrainState(task.params, task.buffers, optimizer.init(task.params), step_key.clone(), zero)
    accuracy = {"accuracy": metrics.accuracy}
    step = train.make_step(model, losses.cross_entropy, optimizer, metrics=accuracy, prepare=task.prepare)
    measured = {"test_loss": metrics.mean_loss(losses.cross_entropy), "test_accuracy": metrics.accuracy}
    evaluate = train.make_evaluate(model, measured, prepare=task.prepare)
    test = data.stacked_batches(task.split.test, min(EVALUATION_BATCH, len(task.split.test[0])))
    begun = report.directory is not None and checkpoint.exists(report.directory / "checkpoint")
    return train.fit(
        state,
        fd.jit(step) if compiled else step,
        task.split.train,
        key=order_key,
        epochs=plan.epochs,
        batch_size=plan.batch_size,
        every=-(-plan.epochs // ROWS),
        evaluate=lambda params, buffers: evaluate(params, buffers, test),
        report=report,
        resume=plan.resume and begun,
        info=runtime.environment(key.device, compiled),
    )


def parts(task: Task, way: Way) -> tuple[str, ...]:
    """The parts of the network that learn at the full rate."""
    return {"all": ("*",), "head": ("fc",), "middle": (*task.middle, "fc")}[way.trained]


def is_frozen(task: Task, way: Way, name: str) -> bool:
    """Whether a part of the network stays as it is."""
    return way.rest == 0 and "*" not in (fast := parts(task, way)) and name not in fast


def held(task: Task, way: Way) -> nn.Layer:
    """The network with its batch norms as in use, and without gradients where it is frozen."""

    def apply(
        params: tree.Tree, buffers: tree.Tree, x: Tensor, *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Tensor, tree.Tree]:
        used = {
            name: tree.map(Tensor.detach, part) if is_frozen(task, way, name) else part for name, part in params.items()
        }
        return task.model.apply(used, buffers, x)

    return nn.Layer(task.model.init, apply)
