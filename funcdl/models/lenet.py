"""Plain convolutional networks: convolutions, each with a pool, and then linear layers."""

from __future__ import annotations

from collections.abc import Sequence

from funcdl import nn
from funcdl.models.mlp import mlp
from funcdl.nn import Layer


def lenet(classes: int = 10) -> Layer:
    """Two convolutions of 5 x 5, each with a pool, and one linear layer: images in, logits out.

    For images of (batch, 1, 28, 28) and 10 classes: 320 features after `flatten`, 8,490 parameters, in `conv1 conv2
    fc`. As in the lecture that it comes from, the pool stands before the activation: a ReLU commutes with a maximum,
    and there is a quarter of it left to do.

    Args:
        classes: the number of classes.

    >>> import torch
    >>> from funcdl import random, tree
    >>> params, buffers = lenet().init(random.key(0), torch.empty(1, 1, 28, 28, device="meta"))
    >>> tree.size(params), params["fc"]["weight"].shape
    (8490, torch.Size([10, 320]))
    """
    return nn.serial(
        conv1=nn.conv2d(10, 5),
        pool1=nn.max_pool2d(2),
        relu1=nn.relu(),
        conv2=nn.conv2d(20, 5),
        pool2=nn.max_pool2d(2),
        relu2=nn.relu(),
        flatten=nn.flatten(),
        fc=nn.linear(classes),
    )


def cnn(
    channels: Sequence[int], widths: Sequence[int] = (), classes: int = 10, *, kernel_size: int = 3, padding: int = 0
) -> Layer:
    """Convolutions, each with a ReLU and a pool that halves the image, and then linear layers: logits out.

    Args:
        channels: the number of channels after each convolution.
        widths: of the linear layers between the convolutions and the last one.
        classes: the number of classes.
        kernel_size: of all convolutions.
        padding: of all convolutions.

    Input (batch, channels, height, width), output (batch, classes). The levels are those of
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


def handbook_cnn(classes: int = 10) -> Layer:
    """Two convolutions with one pool between them, and two linear layers: images in, log-probabilities out.

    For images of (batch, 1, 28, 28) and 10 classes: 2,000 features after `flatten`, 1,007,590 parameters, in `conv1
    conv2 fc1 fc2`.

    Args:
        classes: the number of classes.

    >>> import torch
    >>> from funcdl import random, tree
    >>> params, buffers = handbook_cnn().init(random.key(0), torch.empty(1, 1, 28, 28, device="meta"))
    >>> tree.size(params), params["fc1"]["weight"].shape
    (1007590, torch.Size([500, 2000]))
    """
    return nn.serial(
        conv1=nn.conv2d(10, 5),
        relu1=nn.relu(),
        pool=nn.max_pool2d(2),
        conv2=nn.conv2d(20, 3),
        relu2=nn.relu(),
        flatten=nn.flatten(),
        fc1=nn.linear(500),
        relu3=nn.relu(),
        fc2=nn.linear(classes),
        log_softmax=nn.log_softmax(-1),
    )
