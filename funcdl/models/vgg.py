"""The VGG networks."""

from __future__ import annotations

from funcdl import nn
from funcdl.nn import Layer
from funcdl.nn.initializers import kaiming_normal, normal, zeros

_CHANNELS = (64, 128, 256, 512, 512)
_CONVOLUTIONS = {  # depth -> number of convolutions of each group; three more layers are linear
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}


def vgg(depth: int, classes: int = 1000, *, batch_norm: bool = False, dropout: float = 0.5) -> Layer:
    """Convolutions of 3 x 3 in five groups, each with a pool, and three linear layers: images in, logits out.

    Args:
        depth: the number of layers with weights: 11, 13, 16 or 19.
        classes: the number of classes.
        batch_norm: whether each convolution is followed by a batch norm.
        dropout: the probability of a zero, after the first two linear layers.

    Input (batch, 3, height, width), 224 x 224 in the paper and any size from 32 here, because the last feature map is
    pooled to 7 x 7; output (batch, classes).

    Raises:
        ValueError: `depth` is none of these.

    Source: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015. Equals
    `torchvision.models.vgg11`, `vgg11_bn` and so on, including initial distributions.

    >>> import torch
    >>> from funcdl import random, tree
    >>> images = torch.empty(1, 3, 224, 224, device="meta")
    >>> params, buffers = vgg(16).init(random.key(0, device="meta"), images)
    >>> tree.size(params)
    138357544
    """
    if depth not in _CONVOLUTIONS:
        raise ValueError(f"vgg: expected a depth of {', '.join(map(str, _CONVOLUTIONS))} layers, got {depth}")
    features: list[Layer] = []
    for channels, count in zip(_CHANNELS, _CONVOLUTIONS[depth], strict=True):
        for _ in range(count):
            features.append(nn.conv2d(channels, 3, padding=1, weight_init=_conv_init, bias_init=zeros))
            features += [nn.batch_norm2d(), nn.relu()] if batch_norm else [nn.relu()]
        features.append(nn.max_pool2d(2))
    return nn.serial(
        features=nn.serial(*features),
        avgpool=nn.adaptive_avg_pool2d(7),
        flatten=nn.flatten(),
        classifier=nn.serial(
            _linear(4096),
            nn.relu(),
            nn.dropout(dropout),
            _linear(4096),
            nn.relu(),
            nn.dropout(dropout),
            _linear(classes),
        ),
    )


_conv_init = kaiming_normal(mode="fan_out", nonlinearity="relu")


def _linear(width: int) -> Layer:
    return nn.linear(width, weight_init=normal(std=0.01), bias_init=zeros)
