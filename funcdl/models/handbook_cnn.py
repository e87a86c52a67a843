"""The convolutional network of the handbook's MNIST example."""

from __future__ import annotations

from funcdl import nn
from funcdl.nn import Layer


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
