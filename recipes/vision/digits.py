"""What the recipes of digits share: the data, the training of one network or of several, and what is told about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

import funcdl as fd
from funcdl import data, losses, metrics, nn, optim, random, train, tree
from funcdl.data import Split

from .. import pictures, runtime, scores, settings
from ..lesson import Lesson
from ..settings import Outcome, SettingsError

EVALUATION_BATCH = 100  # the activations of more images do not stay in the cache
SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class Settings(settings.BatchSettings):
    """What every recipe of digits can be told."""

    dataset: Literal["sample", "mnist"] = "sample"
    """sample: scikit-learn's 1,797 digits, scaled to 28 x 28, a fifth held out; mnist: 60,000 and 10,000."""
    epochs: int | None = None
    """Passes through the training data; by default the tutorial's on MNIST, and on the sample what it needs."""
    batch_size: int = 64
    """Samples per step."""
    precision: train.Precision = "fp32"
    """bf16 computes the network in bfloat16, faster where the processor has instructions for it."""


def pixels(mean: float, deviation: float) -> Callable[[Tensor], Tensor]:
    """Makes the function that turns bytes to the floats for a network: `(x / 255 - mean) / deviation`."""

    def normalise(images: Tensor) -> Tensor:
        floats = (images.float() / 255 - mean) / deviation
        return (
            floats.squeeze(1).unsqueeze(-1).movedim(-1, 1)
        )  # with the strides of channels-last, which convolve faster

    return normalise


normalise = pixels(0.1307, 0.3081)  # the mean and deviation of MNIST's training pixels


@dataclass(frozen=True)
class Network:
    """A network, and how it is trained.

    Attributes:
        model: images in; logits out, or log-probabilities, of which the softmax is the probabilities again.
        optimizer: what makes the updates.
        loss: of the outputs and the labels.
        normalise: what is done to the bytes of the images first; by MNIST's mean and deviation, if not said.
        epochs: how many by default, on each data set.
    """

    model: nn.Layer
    optimizer: optim.Transformation
    loss: Callable[..., Tensor] = losses.cross_entropy
    normalise: Callable[[Tensor], Tensor] = normalise
    epochs: Mapping[str, int] = field(default_factory=lambda: {"sample": 20, "mnist": 10})


def lecture(model: nn.Layer, lr: float, **changed: Any) -> Network:
    """A network trained as the lecture trains all of its own: by SGD with momentum 0.5 on the cross entropy."""
    return Network(model, optim.sgd(lr=lr, momentum=0.5), **changed)


@dataclass(frozen=True)
class Trained:
    """A network after its training.

    Attributes:
        state: the last one.
        split: the data, on the device.
        epochs: how many there were.
        compiled: whether the step was.
    """

    state: train.TrainState
    split: Split
    epochs: int
    compiled: bool


def run(settings: Settings, report: train.Report, network: Network, title: str) -> Outcome:
    """Trains a network, draws curves and predictions, and scores it digit by digit."""
    trained = fit(settings, report, network)
    measured = draw(report, network, trained, f"{title} on {settings.dataset}")
    images, labels = trained.split.test
    probabilities = read(network, trained.state, images)
    lesson = Lesson()
    names = list("0123456789")
    scores.show_classes(lesson, report, probabilities.argmax(1), labels, names, f"{len(labels)} test digits")
    of_truth = probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)
    worst = of_truth.argsort()[:SHOWN]
    report.picture("mistakes", pictures.digit_sheet(images[worst], labels[worst], probabilities[worst]))
    device = labels.device.type
    return Outcome(measured | lesson.metrics, trained.epochs, device, trained.compiled, lesson)


def read_data(settings: Settings, device: torch.device) -> Split:
    """The digits, on the device.

    Raises:
        SettingsError: the data set is neither of the two.
    """
    if settings.dataset not in ("sample", "mnist"):
        raise SettingsError(f"--dataset {settings.dataset}: must be sample or mnist")
    split = data.digits() if settings.dataset == "sample" else data.mnist(settings.data_dir)
    return Split(*tree.map(lambda leaf: leaf.to(device), split))


def plan(settings: Settings, report: train.Report, network: Network, split: Split) -> tuple[int, bool]:
    """How many epochs there are to be, and whether to compile the step."""
    images, labels = split.train
    epochs = settings.epochs or network.epochs[settings.dataset]
    steps = runtime.count_steps(settings.batch_size, epochs, len(images))
    return epochs, runtime.choose_compile(settings.compile, labels.device, steps, report)


def fit(settings: Settings, report: train.Report, network: Network) -> Trained:
    """Trains a network and evaluates it after each epoch."""
    device = runtime.choose_device(settings.device)
    split = read_data(settings, device)
    (images, labels), test = split
    epochs, compiled = plan(settings, report, network, split)

    state_key, order_key = random.split(random.key(settings.seed, device=device)).unbind()
    state = train.make_state(network.model, network.optimizer, state_key, network.normalise(images[:1]))
    computed: dict[str, Any] = {"prepare": network.normalise, "precision": settings.precision}
    step = train.make_step(
        network.model, network.loss, network.optimizer, metrics={"accuracy": metrics.accuracy}, **computed
    )
    measured = {"test_loss": metrics.mean_loss(network.loss), "test_accuracy": metrics.accuracy}
    evaluate = train.make_evaluate(network.model, measured, **computed)
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
        info=runtime.environment(device, compiled, precision=settings.precision, lr=settings.lr),
    )
    return Trained(state, split, epochs, compiled)


def draw(report: train.Report, network: Network, trained: Trained, title: str) -> dict[str, Any]:
    """Draws the curves and the first test digits; returns what was measured, and what is predicted for the first."""
    shown, truth = trained.split.test[0][:SHOWN], trained.split.test[1][:SHOWN]
    probabilities = read(network, trained.state, shown)
    report.picture("curves", pictures.curves(report.rows, title))
    report.picture("predictions", pictures.digit_sheet(shown, truth, probabilities))
    measured = {name: value for name, value in report.rows[-1].items() if name not in ("epoch", "seconds")}
    return measured | {"prediction": probabilities[0].argmax().item(), "truth": truth[0].item()}


def read(network: Network, state: train.TrainState, images: Tensor) -> Tensor:
    """Returns the probabilities (n, 10) of the digits in images of bytes (n, 1, 28, 28)."""
    batches = [
        network.model.apply(state.params, state.buffers, network.normalise(batch))[0]
        for batch in images.split(EVALUATION_BATCH)
    ]
    return torch.cat(batches).softmax(-1)


def predict(settings: Settings, run_dir: Path, inputs: Sequence[str], network: Network) -> list[dict[str, Any]]:
    """Reads pictures of single digits with the network of a run."""
    images = torch.stack([data.load_digit(path) for path in inputs])
    like = train.make_state(network.model, network.optimizer, random.key(settings.seed), network.normalise(images[:1]))
    state = runtime.load(run_dir / "checkpoint", like)
    return [
        {"input": str(path), "prediction": row.argmax().item(), "probabilities": row.tolist()}
        for path, row in zip(inputs, read(network, state, images), strict=True)
    ]
