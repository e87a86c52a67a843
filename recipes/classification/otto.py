"""Products in nine classes: a network deep enough to over-fit, and the epoch to stop at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

import funcdl as fd
from funcdl import data, losses, metrics, nn, optim, random, train, tree
from recipes import pictures, runtime, scores, settings
from recipes.lesson import Lesson
from recipes.settings import Outcome

EPOCHS = {"sample": 12, "otto": 50}
HIDDEN = {"wide": (256, 128, 64), "narrow": (64, 32, 16)}
EVALUATION_BATCH = 1000


@dataclass(frozen=True, kw_only=True)
class Settings(settings.Settings):
    """Tell Otto's products by 93 counts each: the exercise of the lecture on softmax, scored by the log-loss.

    A fifth of the products is held out. The network learns its training part almost by heart in 50 epochs, while the
    validation loss is lowest after about five: the parameters of that epoch are kept, and all that is reported is
    about them. The counts have mean 0 and deviation 1 each, by the statistics of the training part.

    The lecture says that a sigmoid may stand before the cross entropy. It may not: that takes raw outputs, and of nine
    numbers between 0 and 1 it cannot come below ln(1 + 8/e) = 1.37.
    """

    dataset: Literal["sample", "otto"] = "sample"
    """sample: scikit-learn's digits as tables of 64 counts, ten classes; otto: Kaggle's 61,878 products."""
    epochs: int | None = None
    """Passes through the training data; 12 on the sample, 50 on Otto."""
    batch_size: int = 64
    """Samples per step."""
    lr: float = 1e-3
    """Learning rate."""
    network: Literal["wide", "narrow"] = "wide"
    """wide: hidden layers of 256, 128, 64; narrow: of 64, 32, 16."""
    optimizer: Literal["adam", "momentum"] = "adam"
    """momentum: SGD with momentum 0.5, which the narrow network was published with, at --lr 0.1 --batch-size 32."""


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains, keeps the parameters with the lowest validation loss, and scores them class by class."""
    device = runtime.choose_device(settings.device)
    rows, targets = data.otto(settings.data_dir) if settings.dataset == "otto" else sample()
    names = [str(number) for number in range(1, 10)] if settings.dataset == "otto" else list("0123456789")
    split_key, state_key, order_key = random.split(random.key(settings.seed), 3).unbind()
    order = random.permutation(split_key, len(rows))
    held_out = len(rows) // 5
    known, unknown = data.take((rows, targets), order[held_out:]), data.take((rows, targets), order[:held_out])
    mean, deviation = known[0].mean(0), known[0].std(0, correction=0)
    (inputs, targets), validation = tree.map(
        lambda leaf: leaf.to(device),
        [((x - mean) / deviation.clamp(min=1e-6), y) for x, y in (known, unknown)],
    )
    epochs = settings.epochs or EPOCHS[settings.dataset]
    steps = runtime.count_steps(settings, epochs, len(inputs))
    compiled = runtime.choose_compile(settings.compile, device, steps, report)

    hidden = [layer for width in HIDDEN[settings.network] for layer in (nn.linear(width), nn.relu())]
    model = nn.serial(*hidden, nn.linear(len(names)))
    adam = settings.optimizer == "adam"
    optimizer = optim.adam(lr=settings.lr) if adam else optim.sgd(lr=settings.lr, momentum=0.5)
    state = train.make_state(model, optimizer, state_key.to(device), inputs[:1])
    step = train.make_step(model, losses.cross_entropy, optimizer, metrics={"accuracy": metrics.accuracy})
    if compiled:
        step = fd.jit(step, donate_argnums=0)
    evaluate = train.make_evaluate(
        model, {"val_loss": metrics.average(losses.cross_entropy), "val_accuracy": metrics.accuracy}
    )
    batches = data.stacked_batches(validation, min(EVALUATION_BATCH, held_out))
    state = train.fit(
        state,
        step,
        (inputs, targets),
        key=order_key,
        epochs=epochs,
        batch_size=settings.batch_size,
        evaluate=lambda params, buffers: evaluate(params, buffers, batches),
        best="val_accuracy",
        report=report,
        resume=settings.resume,
        info=runtime.environment(device, compiled),
    )
    return Outcome(report.rows[-1], epochs, device.type, compiled)


def sample() -> tuple[Tensor, Tensor]:
    """The digits as counts: the ink of 8 x 8 squares, from 0 to 16."""
    from sklearn.datasets import load_digits  # imported here as it takes a second

    bunch = load_digits()
    return torch.from_numpy(bunch.data).float(), torch.from_numpy(bunch.target).long()
