"""Activations: functions of each element, or of the elements along one dimension."""

from __future__ import annotations

import torch

from funcdl.nn.layer import Layer, stateless


def relu() -> Layer:
    """Replaces negative elements by zero: `max(x, 0)`. Equals `torch.nn.ReLU`.

    >>> relu()({}, torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return stateless(torch.relu)


def log_softmax(dim: int) -> Layer:
    """Turns scores into logarithms of probabilities: `x - log(sum(exp(x)))`, with the sum along `dim`.

    Equals `torch.nn.LogSoftmax`, whose `dim` may be left out, with a warning; here it may not.

    >>> log_softmax(dim=-1)({}, torch.zeros(1, 4)).exp()
    tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """
    return stateless(lambda x: torch.log_softmax(x, dim))
