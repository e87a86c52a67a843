"""Products in nine classes: a network deep enough to over-fit, and the epoch to stop at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

import funcdl as fd
from funcdl import data, losses, metrics, models, optim, random, train, tree

from .. import pictures, runtime, scores, settings
from ..lesson import Lesson
from ..settings import Outcome

EPOCHS = {"sample": 12, "otto": 50}
HIDDEN = {"wide": (256, 128, 64), "narrow": (64, 32, 16)}
EVALUATION_BATCH = 1000
# of a public run of the wide network
PUBLISHED = {"best_epoch": "5", "val_loss": "0.5071", "val_accuracy": "0.8042 at best"}
PUBLISHED |= {"last_accuracy": "0.9461", "last_val_accuracy": "0.7915", "parameters": "65,801"}


@dataclass(frozen=True, kw_only=True)
class Settings(settings.BatchSettings):
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
    known, unknown = data.hold_out(split_key, (rows, targets), share=0.2)
    (inputs, targets), validation = tree.map(
        lambda leaf: leaf.to(device), [(data.standardize(x, by=known[0]), y) for x, y in (known, unknown)]
    )
    epochs = settings.epochs or EPOCHS[settings.dataset]
    steps = runtime.count_steps(settings.batch_size, epochs, len(inputs))
    compiled = runtime.choose_compile(settings.compile, device, steps, report)

    model = models.mlp(*HIDDEN[settings.network], len(names))
    adam = settings.optimizer == "adam"
    optimizer = optim.adam(lr=settings.lr) if adam else optim.sgd(lr=settings.lr, momentum=0.5)
    state = train.make_state(model, optimizer, state_key.to(device), inputs[:1])
    step = train.make_step(model, losses.cross_entropy, optimizer, metrics={"accuracy": metrics.accuracy})
    if compiled:
        step = fd.jit(step, donate_argnums=0)
    evaluate = train.make_evaluate(
        model, {"val_loss": metrics.mean_loss(losses.cross_entropy), "val_accuracy": metrics.accuracy}
    )
    batches = data.stacked_batches(validation, min(EVALUATION_BATCH, len(validation[0])))
    state = train.fit(
        state,
        step,
        (inputs, targets),
        key=order_key,
        epochs=epochs,
        batch_size=settings.batch_size,
        evaluate=lambda params, buffers: evaluate(params, buffers, batches),
        best="val_loss",
        report=report,
        resume=settings.resume,
        info=runtime.environment(device, compiled),
    )

    lesson = Lesson()
    published = PUBLISHED if settings.dataset == "otto" and settings.network == "wide" else {}
    best = min(report.rows, key=lambda row: row["val_loss"])
    last = report.rows[-1]
    lesson.show("parameters", "tree.size(params)", tree.size(state.params), published.get("parameters", ""))
    lesson.show(
        "best_epoch", "epoch with the lowest validation loss", int(best["epoch"]), published.get("best_epoch", "")
    )
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        lesson.show(name, f"{name} of that epoch", best[name], published.get(name, ""))
        lesson.show(f"last_{name}", f"{name} of the last epoch", last[name], published.get(f"last_{name}", ""))
    predicted = model(state.params, validation[0]).argmax(1)
    title = f"otto on {settings.dataset}: {len(predicted)} held out"
    scores.show_classes(lesson, report, predicted, validation[1], names, title)
    report.picture("curves", pictures.curves(report.rows, f"otto on {settings.dataset}", "val", best=best["epoch"]))
    return Outcome(lesson.metrics, epochs, device.type, compiled, lesson)


def sample() -> tuple[Tensor, Tensor]:
    """The digits as counts: the ink of 8 x 8 squares, from 0 to 16."""
    from sklearn.datasets import load_digits  # imported here as it takes a second

    bunch = load_digits()
    return torch.from_numpy(bunch.data).float(), torch.from_numpy(bunch.target).long()
