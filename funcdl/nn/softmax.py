"""Activations of the elements along one dimension together."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from funcdl.context import differentiated_once
from funcdl.nn.layer import Layer, stateless


def softmax(dim: int) -> Layer:
    """Turns scores into probabilities: `exp(x) / sum(exp(x))`, with the sum along `dim`.

    Equals `torch.nn.Softmax`, whose `dim` may be left out, with a warning; here it may not.

    >>> softmax(dim=-1)({}, torch.tensor([0.0, 0.0, 2.0]))
    tensor([0.1065, 0.1065, 0.7870])
    """
    return stateless(lambda x: torch.softmax(x, dim))


def softmin(dim: int) -> Layer:
    """Turns costs into probabilities: `exp(-x) / sum(exp(-x))`, with the sum along `dim`.

    Equals `torch.nn.Softmin`, whose `dim` may be left out, with a warning; here it may not.

    >>> softmin(dim=-1)({}, torch.tensor([0.0, 0.0, -2.0]))
    tensor([0.1065, 0.1065, 0.7870])
    """
    return stateless(lambda x: torch.softmax(-x, dim))


def log_softmax(dim: int) -> Layer:
    """Turns scores into logarithms of probabilities: `x - log(sum(exp(x)))`, with the sum along `dim`.

    Equals `torch.nn.LogSoftmax`, whose `dim` may be left out, with a warning; here it may not.

    >>> log_softmax(dim=-1)({}, torch.zeros(1, 4)).exp()
    tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """
    return stateless(lambda x: torch.log_softmax(x, dim))


def softmax2d() -> Layer:
    """Turns the scores of the channels at each point of an image into probabilities: `softmax(-3)`.

    Input (batch, channels, height, width) or (channels, height, width), output likewise.

    Raises:
        ValueError: by `apply`, when the input has another rank.

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


def glu(dim: int = -1) -> Layer:
    """Splits into halves `a` and `b` along `dim` and gates the first by the second: `a * sigmoid(b)`.

    Raises:
        ValueError: by `apply`, when the size along `dim` is odd.

    Source: Dauphin et al., "Language modeling with gated convolutional networks", 2016. Equals `torch.nn.GLU`.

    >>> glu()({}, torch.tensor([1.0, 2.0, 0.0, 0.0]))
    tensor([0.5000, 1.0000])
    """

    def f(x: Tensor) -> Tensor:
        if x.shape[dim] % 2:
            raise ValueError(f"glu(dim={dim}): expected an even size along it, got shape {tuple(x.shape)}")
        if differentiated_once(x):
            return F.glu(x, dim)
        a, b = x.chunk(2, dim)
        return a * torch.sigmoid(b)  # the kernel's forward derivative has none

    return stateless(f)
