"""Handwritten digits, read row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

import funcdl as fd
from funcdl import data, losses, metrics, models, optim, random, train, tree

from .. import pictures, runtime, settings
from ..settings import Outcome

EPOCHS = {"sample": 6, "mnist": 1}
EVALUATION_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Settings(settings.BatchSettings):
    """Read digits as sequences: 28 rows of 28 pixels, one after the other, by an LSTM of 64.

    What the LSTM gives at the last row goes through one linear layer. A row is a step in time, so that the network
    never sees the picture as a whole; on MNIST one epoch is enough for 95 %.
    """

    dataset: Literal["sample", "mnist"] = "sample"
    """sample: scikit-learn's 1,797 digits, scaled to 28 x 28, a fifth held out; mnist: 60,000 and 10,000."""
    epochs: int | None = None
    """Passes through the training data; 6 on the sample, 1 on MNIST."""
    batch_size: int = 64
    """Samples per step."""
    lr: float = 0.01
    """Adam's rate."""


def rows_of(images: Tensor) -> Tensor:
    """Turns images (batch, 1, 28, 28) of bytes to 28 steps of 28 numbers from 0 to 1."""
    return images.squeeze(1).float() / 255


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains, evaluates after each epoch, and draws the curves and a sheet of predictions."""
    device = runtime.choose_device(settings.device)
    split = data.digits() if settings.dataset == "sample" else data.mnist(settings.data_dir)
    (images, labels), test = tree.map(lambda leaf: leaf.to(device), split)
    epochs = settings.epochs or EPOCHS[settings.dataset]
    steps = runtime.count_steps(settings.batch_size, epochs, len(images))
    compiled = runtime.choose_compile(settings.compile, device, steps, report)

    model, optimizer = models.row_classifier(), optim.adam(lr=settings.lr)
    state_key, order_key = random.split(random.key(settings.seed, device=device)).unbind()
    state = train.make_state(model, optimizer, state_key, rows_of(images[:1]))
    step = train.make_step(
        model, losses.cross_entropy, optimizer, metrics={"accuracy": metrics.accuracy}, prepare=rows_of
    )
    evaluate = train.make_evaluate(
        model,
        {"test_loss": metrics.mean_loss(losses.cross_entropy), "test_accuracy": metrics.accuracy},
        prepare=rows_of,
    )
    if compiled:
        step = fd.jit(step, donate_argnums=0)

    test_batches = data.stacked_batches(test, min(EVALUATION_BATCH, len(test[0])))
    state = train.fit(
        state,
        step,
        (images, labels),
        key=order_key,
        epochs=epochs,
        batch_size=settings.batch_size,
        evaluate=lambda params, buffers: evaluate(params, buffers, test_batches),
        report=report,
        resume=settings.resume,
        info=runtime.environment(device, compiled),
    )

    shown, truth = test[0][:12], test[1][:12]
    probabilities = model(state.params, rows_of(shown)).softmax(1)
    report.picture("curves", pictures.curves(report.rows, f"digits-rows on {settings.dataset}"))
    report.picture("predictions", pictures.digit_sheet(shown, truth, probabilities))
    measured = {name: value for name, value in report.rows[-1].items() if name not in ("epoch", "seconds")}
    return Outcome(measured, epochs, device.type, compiled)
