"""LeNet: two convolutions, each with a pool, and one linear layer."""

from __future__ import annotations

from funcdl import nn
from funcdl.nn import Layer


def lenet(classes: int = 10) -> Layer:
    """Two convolutions of 5 x 5, each with a pool, and one linear layer: images in, logits out.

    For images of (batch, 1, 28, 28) and 10 classes: 320 features after `flatten`, 8,490 parameters, in `conv1 conv2
    fc`. As in the lecture it comes from, the pool is before the activation: ReLU commutes with max pooling, and then
    has only a quarter of the elements.

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
