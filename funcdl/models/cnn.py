"""A plain convolutional network: convolutions, each with a pool, then linear layers."""

from __future__ import annotations

from collections.abc import Sequence

from funcdl import nn
from funcdl.models.mlp import mlp
from funcdl.nn import Layer


def cnn(
    channels: Sequence[int], widths: Sequence[int] = (), classes: int = 10, *, kernel_size: int = 3, padding: int = 0
) -> Layer:
    """Convolutions, each with a ReLU and a pool that halves the image, and then linear layers: logits out.

    Args:
        channels: the output channels of each convolution.
        widths: the sizes of the linear layers between the convolutions and the last layer.
        classes: the number of classes.
        kernel_size: the kernel size of all convolutions.
        padding: the padding of all convolutions.

    Input (batch, channels, height, width), output (batch, classes). The parameter names are those of
    `Sequential(features=Sequential(Conv2d, ReLU, MaxPool2d, ...), classifier=Sequential(Flatten, Linear, ReLU, ...))`.

    >>> import torch
    >>> from funcdl import random, tree
    >>> model = cnn((16, 32, 64), (128, 64), padding=1)
    >>> params, buffers = model.init(random.key(0), torch.empty(1, 1, 28, 28, device="meta"))
    >>> tree.size(params), params["classifier"]["1"]["weight"].shape
    (106058, torch.Size([128, 576]))
    """
    blocks = [(nn.conv2d(n, kernel_size, padding=padding), nn.relu(), nn.max_pool2d(2)) for n in channels]
    return nn.serial(
        features=nn.serial(*[layer for block in blocks for layer in block]), classifier=mlp(*widths, classes)
    )
