"""Layers: what each computes, on numbers small enough to check by hand, and a first network of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

import funcdl as fd
from funcdl import losses, nn, random, train, tree

from .. import runtime, settings
from ..lesson import Lesson
from ..settings import Outcome
from . import _convolutions, _layer_pictures, _recurrence
from ._first_network import first_network


@dataclass(frozen=True, kw_only=True)
class Settings(settings.SeedSettings, settings.DeviceSettings):
    """See what linear, convolution, pooling, dropout, recurrent and embedding layers compute.

    A layer is two functions: `init(key, x)` makes its parameters, from whose shapes nothing need be computed by hand,
    and `apply(params, buffers, x)` uses them; one without buffers is also called as `layer(params, x)`.
    """

    lr: float = 0.01
    """The rate of the one step."""


def run(settings: Settings, report: train.Report) -> Outcome:
    """Shows each layer with its result."""
    lesson = Lesson()
    with runtime.choose_device(settings.device) as device:
        keys = random.split(random.key(settings.seed), 6).unbind()
        linear(lesson, keys[0])
        _convolutions.convolution(lesson, keys[1])
        _convolutions.pooling(lesson)
        dropout(lesson, keys[2])
        _recurrence.recurrent(lesson, keys[3])
        _recurrence.embedding(lesson, keys[4])
        first_network(lesson, keys[5], settings.lr)
        report.picture("convolution", _layer_pictures.convolution())
        report.picture("pooling", _layer_pictures.pooling())
        report.picture("transposed", _layer_pictures.transposed())
        report.picture("dropout", _layer_pictures.dropout(keys[2]))
        report.picture("feature_map", _layer_pictures.feature_map())
    return Outcome(lesson.metrics, device=device.type, lesson=lesson)


def linear(lesson: Lesson, key: Tensor) -> None:
    """x W^T + b, whose weight torch stores as (out, in)."""
    x = torch.empty(5, 8)
    lesson.show_code("linear_1", nn.linear(1).init(key, x)[0]["weight"].shape, "1 x 8", preceding=1)
    lesson.show_code("linear_2", nn.linear(2).init(key, x)[0]["weight"].shape, "2 x 8")
    lesson.show_code("linear_6", nn.linear(6).init(key, x)[0]["weight"].shape, "6 x 8")
    x, layer = random.normal(key, (64, 256)), nn.linear(4)
    params, _ = layer.init(key, x)
    by_hand = x @ params["weight"].T + params["bias"]
    lesson.show_code("linear", torch.allclose(layer(params, x), by_hand, atol=1e-6), "x W^T + b", preceding=1)
    scratch = {"weight": random.normal(key, (256, 4)) / 256**0.5, "bias": torch.zeros(4)}

    def cross_entropy(p: tree.Tree) -> Tensor:
        return losses.cross_entropy(x @ p["weight"] + p["bias"], torch.arange(64) % 4)

    loss, grads = fd.value_and_grad(cross_entropy)(scratch)
    lesson.show(
        "scratch_loss", "a linear layer from scratch, randn(256, 4) / 16: its cross-entropy", loss, "a layer without nn"
    )
    lesson.show(
        "scratch_gradients",
        "shapes of the gradients of its weight and bias",
        [list(grads[name].shape) for name in scratch],
    )
    deviations = [params["weight"].std().item(), scratch["weight"].std().item()]
    lesson.show(
        "deviations", "standard deviation of the weights: of nn.linear, and from scratch", deviations, "0.036 0.0625", 3
    )
    lesson.remark(
        "nn.Linear(256, 4) is not randn / 16: its weight is (4, 256), uniform in +-1/16, and its bias not zero."
    )


def dropout(lesson: Lesson, key: Tensor) -> None:
    """Zeros with probability p and the rest times 1 / (1 - p) in training, nothing otherwise."""
    ones, layer = torch.ones(100_000), nn.dropout(0.25)
    (trained, _), (evaluated, _) = layer.apply({}, {}, ones, key=key, train=True), layer.apply({}, {}, ones)
    lesson.show(
        "dropout_values",
        "what nn.dropout(0.25) makes of ones in training: the values that occur",
        trained.unique(),
        "0, 1 / (1 - p)",
    )
    moments = [trained.mean().item(), trained.var().item()]
    lesson.show("dropout_moments", "their mean and variance over 100,000 ones", moments, "1, p / (1 - p)", 3)
    lesson.show(
        "dropout_evaluated", "without train=True the ones stay as they are", torch.equal(evaluated, ones), "identity"
    )
    lesson.remark(
        "Training is an argument here. In torch, F.dropout drops in evaluation too unless it is told training=False."
    )
