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
from . import _pictures


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
    report.picture("losses", _pictures.losses_of_two_classes())
    return Outcome(lesson.metrics, device=device.type, lesson=lesson)


def one_sample(lesson: Lesson) -> None:
    """Cross-entropy of one sample, in NumPy and by four functions here."""
    z, y = np.array([0.2, 0.1, -0.1]), np.array([1, 0, 0])
    predicted = np.exp(z) / np.exp(z).sum()
    lesson.show_code("softmax", predicted, "0.3780 0.3420 0.2800", preceding=2)
    lesson.show_code("numpy", (-y * np.log(predicted)).sum(), "0.9729189131", 10)
    logits, target = torch.tensor(z)[None], torch.tensor([0])
    lesson.show_code("loss", losses.cross_entropy(logits, target), "the same", 10, preceding=1)
    lesson.show_code("apart", losses.nll(nn.log_softmax(-1)({}, logits), target), "the same", 10)

    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    lesson.show_code("one_hot", -probabilities[:, 0].log(), "0.3567 2.3026", preceding=1)
    logits, target = torch.tensor([[2.0, 1.0, 0.1], [0.5, 2.0, 0.3]]), torch.tensor([0, 0])
    each = losses.cross_entropy(logits, target, reduction="none")
    lesson.show_code("two_guesses", each, "0.4170 1.8406", preceding=2)
    lesson.show_code("argmax", logits.argmax(1), "0 1")


def batches(lesson: Lesson) -> None:
    """Cross-entropy of three samples, and its lower bound when a sigmoid comes before it."""
    target = torch.tensor([2, 0, 1])
    correct = torch.tensor([[0.1, 0.2, 0.9], [1.1, 0.1, 0.2], [0.2, 2.1, 0.1]])  # largest at classes 2, 0, 1
    lesson.show_code("correct", losses.cross_entropy(correct, target), "0.4966", 5, preceding=2)
    wrong = torch.tensor([[0.8, 0.2, 0.3], [0.2, 0.3, 0.5], [0.2, 0.2, 0.5]])
    lesson.show_code("wrong", losses.cross_entropy(wrong, target), "1.2389", 5, preceding=1)
    both = losses.cross_entropy(correct, target), losses.nll(correct.log_softmax(1), target)
    lesson.show_code("equal", both, "equal", preceding=1)
    best = torch.nn.functional.one_hot(torch.tensor([3]), 10).float()
    floor = losses.cross_entropy(best, torch.tensor([3]))
    lesson.show(
        "sigmoid_floor", "least cross-entropy of 10 classes if a sigmoid comes before it", floor, "ln(1 + 9/e) = 1.461"
    )
    lesson.remark(
        "Feed cross-entropy raw logits, not outputs of a sigmoid: those lie in (0, 1), so that with 10 classes "
        f"the loss cannot fall below {floor.item():.3f}. torch's class for log-probabilities is NLLLoss, not NULLLoss."
    )


def two_classes(lesson: Lesson) -> None:
    """Binary cross-entropy: -(y log p + (1 - y) log(1 - p))."""
    y, p = torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([0.2, 0.8, 0.3, 0.7])
    each = losses.binary_cross_entropy(p, y, reduction="none")
    lesson.show_code("binary", each, "1.6094 0.2231 0.3567 1.2040", 5, preceding=2)
    lesson.show_code("binary_mean", losses.binary_cross_entropy(p, y), "0.8483", 4)


def squares(lesson: Lesson, key: Tensor) -> None:
    """The mean squared error of a network that has learned nothing."""
    model = nn.serial(nn.conv2d(6, 3), nn.relu(), nn.max_pool2d(2), nn.relu(), nn.flatten(), nn.linear(10))
    x, target = random.normal(key, (1, 1, 32, 32)), torch.arange(10.0)[None]
    params, _ = model.init(random.fold_in(key, 1), x)
    out = model(params, x)
    lesson.show_code("mse", losses.mse(out, target), "28.92203712463379", 17)
    formula = 28.5 + (out**2).mean() - 0.2 * (out * target).sum()
    lesson.show_code("mse_formula", formula, "28.5 +- 1.5", preceding=1)

    def untrained(key: Tensor) -> Tensor:
        return losses.mse(model(model.init(key, x)[0], x), target)

    many = fd.vmap(untrained)(random.split(random.fold_in(key, 2), 200))
    moments = many.mean(), many.std()
    lesson.show(
        "mse_many", "squared error of 200 untrained networks: mean and standard deviation", moments, "28.5 +- 1.5", 4
    )
    lesson.show_code("mse_zeros", losses.mse(torch.zeros(1, 10), torch.arange(10.0)[None]), "28.5")
