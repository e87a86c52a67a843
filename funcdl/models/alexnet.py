"""AlexNet."""

from __future__ import annotations

from funcdl import nn
from funcdl.nn import Layer


def alexnet(classes: int = 1000, dropout: float = 0.5) -> Layer:
    """Five convolutions and three linear layers: images in, logits out. 61,100,840 parameters.

    Args:
        classes: the number of classes.
        dropout: the probability of a zero, before the first two linear layers.

    Input (batch, 3, height, width), 224 x 224 in the paper and any size from 63 here, because the last feature map is
    pooled to 6 x 6; output (batch, classes).

    Source: Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014. Equals
    `torchvision.models.alexnet`.

    >>> import torch
    >>> from funcdl import random, tree
    >>> images = torch.empty(1, 3, 224, 224, device="meta")
    >>> params, buffers = alexnet().init(random.key(0, device="meta"), images)
    >>> tree.size(params)
    61100840
    """
    return nn.serial(
        features=nn.serial(
            nn.conv2d(64, 11, 4, padding=2),
            nn.relu(),
            nn.max_pool2d(3, 2),
            nn.conv2d(192, 5, padding=2),
            nn.relu(),
            nn.max_pool2d(3, 2),
            nn.conv2d(384, 3, padding=1),
            nn.relu(),
            nn.conv2d(256, 3, padding=1),
            nn.relu(),
            nn.conv2d(256, 3, padding=1),
            nn.relu(),
            nn.max_pool2d(3, 2),
        ),
        avgpool=nn.adaptive_avg_pool2d(6),
        flatten=nn.flatten(),
        classifier=nn.serial(
            nn.dropout(dropout),
            nn.linear(4096),
            nn.relu(),
            nn.dropout(dropout),
            nn.linear(4096),
            nn.relu(),
            nn.linear(classes),
        ),
    )
