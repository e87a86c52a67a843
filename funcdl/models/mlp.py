"""The multilayer perceptron."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from funcdl import nn
from funcdl.nn import Layer


def mlp(*widths: int, activation: Layer | Callable[[Tensor], Any] | None = None) -> Layer:
    """A multilayer perceptron, with an activation between its layers: `W3 a(W2 a(W1 x))` for three, with biases.

    Args:
        *widths: the number of outputs of each layer, the last of them the model's; at least one.
        activation: a layer or a function, `nn.relu()` by default. There is none after the last layer: outputs are
            logits.

    Input (batch, ...), which is flattened except for the batch; output (batch, widths[-1]). Layers are numbered as in
    `torch.nn.Sequential(Flatten(), Linear(...), ReLU(), Linear(...))`, so those with weights are 1, 3, 5, ...

    Raises:
        ValueError: no widths are given.

    The lecture's network for digits is `mlp(512, 256, 128, 64, 10)`, of 575,050 parameters; its network for diabetes
    `nn.serial(mlp(6, 4, 1, activation=torch.sigmoid), torch.sigmoid)`, of 87.

    >>> import torch
    >>> from funcdl import random, tree
    >>> params, buffers = mlp(512, 256, 128, 64, 10).init(random.key(0), torch.empty(1, 1, 28, 28, device="meta"))
    >>> tree.size(params), list(params)
    (575050, ['1', '3', '5', '7', '9'])
    """
    if not widths:
        raise ValueError("mlp(): expected the width of one layer or more, got none; mlp(10) is a single linear layer")
    between = nn.relu() if activation is None else activation
    hidden = [layer for width in widths[:-1] for layer in (nn.linear(width), between)]
    return nn.serial(nn.flatten(), *hidden, nn.linear(widths[-1]))
