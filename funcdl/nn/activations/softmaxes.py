"""Softmax and its relatives: activations along one dimension."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl.nn.layer import Layer, stateless


def softmax(dim: int) -> Layer:
    """Turns scores into probabilities: `exp(x) / sum(exp(x))`, with the sum along `dim`.

    Equals `torch.nn.Softmax`, except that `dim` is required.

    >>> softmax(dim=-1)({}, torch.tensor([0.0, 0.0, 2.0]))
    tensor([0.1065, 0.1065, 0.7870])
    """
    return stateless(lambda x: torch.softmax(x, dim))


def softmin(dim: int) -> Layer:
    """Turns costs into probabilities: `exp(-x) / sum(exp(-x))`, with the sum along `dim`.

    Equals `torch.nn.Softmin`, except that `dim` is required.

    >>> softmin(dim=-1)({}, torch.tensor([0.0, 0.0, -2.0]))
    tensor([0.1065, 0.1065, 0.7870])
    """
    return stateless(lambda x: torch.softmax(-x, dim))


def log_softmax(dim: int) -> Layer:
    """Turns scores into logarithms of probabilities: `x - log(sum(exp(x)))`, with the sum along `dim`.

    Equals `torch.nn.LogSoftmax`, except that `dim` is required.

    >>> log_softmax(dim=-1)({}, torch.zeros(1, 4)).exp()
    tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """
    return stateless(lambda x: torch.log_softmax(x, dim))


def softmax2d() -> Layer:
    """Turns the scores of the channels at each point of an image into probabilities: `softmax(-3)`.

    Input (batch, channels, height, width) or (channels, height, width), output likewise.

    Raises:
        ValueError: raised by `apply` if the input has another rank.

    Equals `torch.nn.Softmax2d`.

    >>> softmax2d()({}, torch.zeros(1, 4, 8, 8)).sum(1).unique()
    tensor([1.])
    """

    def f(x: Tensor) -> Tensor:
        if x.ndim not in (3, 4):
            raise ValueError(
                "softmax2d(): expected (batch, channels, height, width) or (channels, height, width), got shape "
                f"{tuple(x.shape)}; softmax(dim) takes any"
            )
        return torch.softmax(x, -3)

    return stateless(f)
