"""Handwritten digits by a convolutional network: the main job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

import funcdl as fd
from funcdl import data, losses, metrics, models, optim, random, train, tree
from recipes import pictures, runtime, settings
from recipes.settings import Outcome

EPOCHS = {"sample": 12, "mnist": 2}
EVALUATION_BATCH = 100  # the activations of more images do not stay in the cache


@dataclass(frozen=True, kw_only=True)
class Settings(settings.Settings):
    """Train the ConvNet of *Mastering PyTorch*, chapter 1, on handwritten digits, and look at what it predicts.

    Two convolutions, a pool and two linear layers with dropout, 300,426 parameters, trained by Adadelta on the negative
    log likelihood. On MNIST the book reports 98.3 and 98.5 % of the test digits right after its two epochs.

    The book normalises pixels by (0.1302, 0.3069), which are the mean and deviation of pixels divided by 256, although
    they are divided by 255; it is harmless and kept here. Its outputs are log-probabilities, not probabilities.
    """

    dataset: Literal["sample", "mnist"] = "sample"
    """sample: scikit-learn's 1,797 digits, scaled to 28 x 28, a fifth held out; mnist: the book's 60,000 and 10,000."""
    epochs: int | None = None
    """Passes through the training data; 12 on the sample, 2 on MNIST."""
    lr: float = 0.5
    """Adadelta's rate."""
    precision: train.Precision = "fp32"
    """bf16 computes the network in bfloat16, faster where the processor has instructions for it."""


def normalise(images: Tensor) -> Tensor:
    """Turns bytes to the floats that the network is trained on."""
    pixels = (images.float() / 255 - 0.1302) / 0.3069
    return pixels.squeeze(1).unsqueeze(-1).movedim(-1, 1)  # with the strides of channels-last, which convolve faster


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains, evaluates after each epoch, and draws the curves and a sheet of predictions."""
    device = runtime.choose_device(settings.device)
    split = data.digits() if settings.dataset == "sample" else data.mnist(settings.data_dir)
    (images, labels), test = tree.map(lambda leaf: leaf.to(device), split)
    epochs = settings.epochs or EPOCHS[settings.dataset]
    steps = runtime.count_steps(settings, epochs, len(images))
    compiled = runtime.choose_compile(settings.compile, device, steps, report)

    model, optimizer = models.convnet(), optim.adadelta(lr=settings.lr)
    state_key, order_key = random.split(random.key(settings.seed, device=device)).unbind()
    state = train.make_state(model, optimizer, state_key, normalise(images[:1]))
    step = train.make_step(
        model,
        losses.nll,
        optimizer,
        metrics={"accuracy": metrics.accuracy},
        prepare=normalise,
        precision=settings.precision,
    )
    evaluate = train.make_evaluate(
        model,
        {"test_loss": metrics.average(losses.nll), "test_accuracy": metrics.accuracy},
        prepare=normalise,
        precision=settings.precision,
    )
    if compiled:
        step = fd.jit(step, donate_argnums=0)  # a few evaluations do not repay compiling

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
        info=runtime.environment(device, compiled, precision=settings.precision),
    )

    shown, truth = test[0][:12], test[1][:12]
    probabilities = _probabilities(state.params, shown)
    report.picture("curves", pictures.curves(report.rows, f"digits-convnet on {settings.dataset}"))
    report.picture("predictions", pictures.digit_sheet(shown, truth, probabilities))
    measured = {name: value for name, value in report.rows[-1].items() if name not in ("epoch", "seconds")}
    measured |= {"prediction": probabilities[0].argmax().item(), "truth": truth[0].item()}
    return Outcome(measured, epochs, device.type, compiled)


def predict(settings: Settings, run_dir: Path, inputs: Sequence[str]) -> list[dict[str, Any]]:
    """Reads pictures of single digits with the network of a run."""
    images = torch.stack([data.load_digit(path) for path in inputs])
    optimizer = optim.adadelta(lr=settings.lr)
    like = train.make_state(models.convnet(), optimizer, random.key(settings.seed), normalise(images[:1]))
    state, _ = train.load(run_dir / "checkpoint", like)
    return [
        {"input": str(path), "prediction": row.argmax().item(), "probabilities": row.tolist()}
        for path, row in zip(inputs, _probabilities(state.params, images), strict=True)
    ]


def _probabilities(params: tree.Tree, images: Tensor) -> Tensor:
    return models.convnet()(params, normalise(images)).exp()
