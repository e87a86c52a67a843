"""For `finetune`: training what a network has to learn anew, and its other parts more slowly or not at all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from funcdl import nn, optim, random, train, tree
from funcdl.train import checkpoint

from .. import training
from ..settings import TrainingSettings
from ..training import Task
from ._pretrained import EVALUATION_BATCH, Pretrained

ROWS = 10  # of each strategy, spread over its epochs


@dataclass(frozen=True)
class Strategy:
    """A strategy of fine-tuning: the part of the network that learns at the full rate, and the rate of the others.

    Attributes:
        what: its description.
        trained: the part that learns at the full rate.
        rest: the rate of the other parts, as a share of the full one; 0 freezes them.
        handbook: what the handbook says of it.
        from_random: whether it begins with random parameters.
    """

    what: str
    trained: Literal["head", "middle", "all"]
    rest: float = 0.0
    handbook: str = ""
    from_random: bool = False


def tune(
    settings: TrainingSettings,
    pretrained: Pretrained,
    strategy: Strategy,
    hyperparameters: tuple[int, int, float],
    report: train.Report,
    key: Tensor,
    compiled: bool,
) -> train.TrainState:
    """Trains the parts that the strategy names, for these epochs, with this batch size and rate."""
    epochs, batch_size, lr = hyperparameters
    adam, fast = optim.adam(lr=lr), parts(pretrained, strategy)
    slow = optim.adam(lr=strategy.rest * lr) if strategy.rest else optim.freeze("*")
    groups = {**dict.fromkeys(fast, "new"), "*": "old"}
    task = Task(
        pretrained.model if strategy.from_random else frozen(pretrained, strategy),
        adam if "*" in fast else optim.partition({"new": adam, "old": slow}, groups),
        epochs,
        batch_size,
        prepare=pretrained.prepare,
        evaluation_batch=EVALUATION_BATCH,
        every=-(-epochs // ROWS),
    )
    order_key, step_key = random.split(random.fold_in(key, 1)).unbind()
    zero = torch.zeros((), dtype=torch.int64, device=key.device)
    # a copy, as a compiled step writes over the state it is given
    params, buffers = tree.map(torch.clone, (pretrained.params, pretrained.buffers))
    state = train.TrainState(params, buffers, task.optimizer.init(params), step_key.clone(), zero)
    resume = settings.resume and report.directory is not None and checkpoint.exists(report.directory / "checkpoint")
    trained = training.fit(
        replace(settings, resume=resume),
        report,
        task,
        *pretrained.split,
        keys=(key, order_key),
        state=state,
        compiled=compiled,
    )
    return trained.state


def parts(pretrained: Pretrained, strategy: Strategy) -> tuple[str, ...]:
    """The parts of the network that learn at the full rate."""
    return {"all": ("*",), "head": ("fc",), "middle": (*pretrained.middle, "fc")}[strategy.trained]


def is_frozen(pretrained: Pretrained, strategy: Strategy, name: str) -> bool:
    """Whether a part of the network stays as it is."""
    return strategy.rest == 0 and "*" not in (fast := parts(pretrained, strategy)) and name not in fast


def frozen(pretrained: Pretrained, strategy: Strategy) -> nn.Layer:
    """The network with its batch norms as in use, and without gradients where it is frozen."""

    def apply(
        params: tree.Tree, buffers: tree.Tree, x: Tensor, *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Tensor, tree.Tree]:
        used = {
            name: tree.map(Tensor.detach, part) if is_frozen(pretrained, strategy, name) else part
            for name, part in params.items()
        }
        return pretrained.model.apply(used, buffers, x)

    return nn.Layer(pretrained.model.init, apply)
