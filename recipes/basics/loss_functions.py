"""Loss functions: cross-entropy from softmax to logits, binary cross-entropy, and the mean squared error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import funcdl as fd
from funcdl import losses, nn, random, train

from .. import runtime, settings
from ..lesson import Lesson
from ..settings import Outcome
from . import drawings

CORRECT = [[0.1, 0.2, 0.9], [1.1, 0.1, 0.2], [0.2, 2.1, 0.1]]  # logits that are largest at classes 2, 0, 1
WRONG = [[0.8, 0.2, 0.3], [0.2, 0.3, 0.5], [0.2, 0.2, 0.5]]


@dataclass(frozen=True, kw_only=True)
class Settings(settings.SeedSettings, settings.DeviceSettings):
    """Compute the losses of the tutorials by hand and by `funcdl.losses`.

    Cross-entropy takes logits, the outputs of the last linear layer as they are: it is log_softmax and then the
    negative log likelihood, `nll`, of the true class. Binary cross-entropy takes a probability. The mean squared error
    of an untrained network against 0 to 9 is 28.5, give or take its small outputs.
    """


def run(settings: Settings, report: train.Report) -> Outcome:
    """Shows each loss with its result, and draws those of one class and of two."""
    lesson = Lesson()
    with runtime.choose_device(settings.device) as device:
        one_sample(lesson)
        batches(lesson)
        two_classes(lesson)
        squares(lesson, random.key(settings.seed))
    report.picture("losses", drawings.losses_of_two_classes())
    return Outcome(lesson.metrics, device=device.type, lesson=lesson)


def one_sample(lesson: Lesson) -> None:
    """Cross-entropy of one sample, in NumPy and in four ways here."""
    z, y = np.array([0.2, 0.1, -0.1]), np.array([1, 0, 0])
    predicted = np.exp(z) / np.exp(z).sum()
    lesson.show("softmax", "np.exp(z) / np.exp(z).sum(), z = 0.2 0.1 -0.1", predicted.tolist(), "0.3780 0.3420 0.2800")
    loss = float((-y * np.log(predicted)).sum())
    lesson.show("numpy", "(-y * np.log(softmax)).sum(), y = 1 0 0", loss, "0.9729189131", 10)
    logits, target = torch.tensor(z)[None], torch.tensor([0])
    lesson.show("loss", "losses.cross_entropy(z, 0)", losses.cross_entropy(logits, target), "the same", 10)
    apart = losses.nll(nn.log_softmax(-1)({}, logits), target)
    lesson.show("apart", "losses.nll(log_softmax(z), 0)", apart, "the same", 10)

    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    lesson.show("one_hot", "-log(0.7), -log(0.1)", -probabilities[:, 0].log(), "0.3567 2.3026")
    logits = torch.tensor([[2.0, 1.0, 0.1], [0.5, 2.0, 0.3]])
    each = losses.cross_entropy(logits, torch.tensor([0, 0]), reduction="none")
    lesson.show("two_guesses", "cross_entropy of 2 1 0.1 and 0.5 2 0.3, target 0", each, "0.4170 1.8406")
    lesson.show("argmax", "their largest entries", logits.argmax(1), "0 1")


def batches(lesson: Lesson) -> None:
    """Cross-entropy of three samples, and what becomes of it behind a sigmoid."""
    target = torch.tensor([2, 0, 1])
    for name, rows, figure in (("correct", CORRECT, "0.4966"), ("wrong", WRONG, "1.2389")):
        value = losses.cross_entropy(torch.tensor(rows), target)
        lesson.show(name, f"cross_entropy({name} logits, [2, 0, 1])", value, figure, 5)
    logits = torch.tensor(CORRECT)
    both = [losses.cross_entropy(logits, target), losses.nll(logits.log_softmax(1), target)]
    lesson.show("equal", "cross_entropy, nll(log_softmax)", both, "equal")
    best = torch.nn.functional.one_hot(torch.tensor([3]), 10).float()
    floor = losses.cross_entropy(best, torch.tensor([3]))
    lesson.show("sigmoid_floor", "least cross_entropy of 10 classes behind a sigmoid", floor, "ln(1 + 9/e) = 1.461")
    lesson.remark(
        "Feed cross-entropy raw logits, not outputs of a sigmoid: those lie in (0, 1), so that with 10 classes "
        f"the loss cannot fall below {floor.item():.3f}. Its class for log-probabilities is NLLLoss, not 'NULLLoss'."
    )


def two_classes(lesson: Lesson) -> None:
    """Binary cross-entropy: -(y log p + (1 - y) log(1 - p))."""
    targets, predictions = torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([0.2, 0.8, 0.3, 0.7])
    each = losses.binary_cross_entropy(predictions, targets, reduction="none")
    lesson.show("binary", "y 1 1 0 0, p 0.2 0.8 0.3 0.7: each", each, "1.6094 0.2231 0.3567 1.2040", 5)
    mean = losses.binary_cross_entropy(predictions, targets)
    lesson.show("binary_mean", "losses.binary_cross_entropy(p, y)", mean, "0.8483", 4)


def squares(lesson: Lesson, key: Tensor) -> None:
    """The mean squared error of a network that has learned nothing."""
    model = nn.serial(nn.conv2d(6, 3), nn.relu(), nn.max_pool2d(2), nn.relu(), nn.flatten(), nn.linear(10))
    x, target = random.normal(key, (1, 1, 32, 32)), torch.arange(10.0)[None]
    params, _ = model.init(random.fold_in(key, 1), x)
    out = model(params, x)
    lesson.show("mse", "losses.mse(model(params, x), arange(10))", losses.mse(out, target), "28.92203712463379", 17)
    formula = 28.5 + (out**2).mean() - 0.2 * (out * target).sum()
    lesson.show("mse_formula", "28.5 + mean(out^2) - 0.2 sum(i out_i)", formula, "28.5 +- 1.5")

    def of_network(key: Tensor) -> Tensor:
        return losses.mse(model(model.init(key, x)[0], x), target)

    many = fd.vmap(of_network)(random.split(random.fold_in(key, 2), 200))
    lesson.show(
        "mse_many", "mean and deviation over 200 untrained networks", [many.mean(), many.std()], "28.5 +- 1.5", 4
    )
    lesson.show("mse_zeros", "losses.mse(zeros, arange(10))", losses.mse(torch.zeros(1, 10), target), "28.5")
