"""A simplified Inception block, and a network of two of them for digits."""

from __future__ import annotations

from funcdl import nn
from funcdl.nn import Layer


def inception_block() -> Layer:
    """An Inception block: four branches with 1 x 1, 5 x 5 and twice 3 x 3 convolutions, and average pooling.

    Output (batch, 16 + 24 + 24 + 24 = 88, height, width). Convolutions of 1 x 1 reduce the channels before the wide
    ones: for 192 channels of 28 x 28 and 32 channels out, 12.4 instead of 120 million multiplications. There is no
    activation inside.

    Source: Szegedy et al., "Going deeper with convolutions", 2015, as a lecture simplifies it: average pooling where
    the paper has max pooling. The parameters are `branch1x1`, `branch5x5.0`, `branch5x5.1`, `branch3x3.0` to `.2`,
    `pool.1`.

    >>> import torch
    >>> from funcdl import random
    >>> params, buffers = inception_block().init(random.key(0), torch.empty(1, 10, 12, 12, device="meta"))
    >>> inception_block()(params, torch.ones(1, 10, 12, 12)).shape
    torch.Size([1, 88, 12, 12])
    """
    return nn.parallel(
        branch1x1=nn.conv2d(16, 1),
        branch5x5=nn.serial(nn.conv2d(16, 1), nn.conv2d(24, 5, padding=2)),
        branch3x3=nn.serial(nn.conv2d(16, 1), nn.conv2d(24, 3, padding=1), nn.conv2d(24, 3, padding=1)),
        pool=nn.serial(nn.avg_pool2d(3, stride=1, padding=1), nn.conv2d(24, 1)),
        combine=nn.concatenate(dim=1),
    )


def inception_net(classes: int = 10) -> Layer:
    """Two convolutions of 5 x 5, each with a pool and an Inception block, and one linear layer: logits out.

    For images of (batch, 1, 28, 28) and 10 classes: 1,408 features after `flatten`, 97,298 parameters, in `conv1 incep1
    conv2 incep2 fc`.

    Args:
        classes: the number of classes.

    >>> import torch
    >>> from funcdl import random, tree
    >>> params, buffers = inception_net().init(random.key(0), torch.empty(1, 1, 28, 28, device="meta"))
    >>> tree.size(params), params["fc"]["weight"].shape
    (97298, torch.Size([10, 1408]))
    """
    return nn.serial(
        conv1=nn.conv2d(10, 5),
        pool1=nn.max_pool2d(2),
        relu1=nn.relu(),
        incep1=inception_block(),
        conv2=nn.conv2d(20, 5),
        pool2=nn.max_pool2d(2),
        relu2=nn.relu(),
        incep2=inception_block(),
        flatten=nn.flatten(),
        fc=nn.linear(classes),
    )
