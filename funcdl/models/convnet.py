"""The small convolutional network of the MNIST lesson."""

from __future__ import annotations

from funcdl import nn
from funcdl.nn import Layer


def convnet(classes: int = 10) -> Layer:
    """Two convolutions, a pool and two linear layers, with dropout: images in, log-probabilities out.

    For images of (batch, 1, 28, 28) and 10 classes: 4,608 features after `flatten`, 300,426 parameters, in
    `cn1 cn2 fc1 fc2`.

    Args:
        classes: the number of classes.

    Source: *Mastering PyTorch*, chapter 1. The book applies `Dropout2d` to the features of `fc1`, which for a matrix of
    features is the same as the `Dropout` used here.

    >>> import torch
    >>> from funcdl import random, tree
    >>> params, buffers = convnet().init(random.key(0), torch.empty(1, 1, 28, 28, device="meta"))
    >>> tree.size(params), params["fc1"]["weight"].shape
    (300426, torch.Size([64, 4608]))
    """
    return nn.serial(
        cn1=nn.conv2d(16, 3),
        relu1=nn.relu(),
        cn2=nn.conv2d(32, 3),
        relu2=nn.relu(),
        pool=nn.max_pool2d(2),
        dp1=nn.dropout2d(0.10),
        flatten=nn.flatten(),
        fc1=nn.linear(64),
        relu3=nn.relu(),
        dp2=nn.dropout(0.25),
        fc2=nn.linear(classes),
        log_softmax=nn.log_softmax(-1),
    )
