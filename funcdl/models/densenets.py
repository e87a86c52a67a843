"""DenseNets: densely connected networks, in which each layer sees the outputs of all earlier ones."""

from __future__ import annotations

from collections.abc import Sequence

from funcdl import nn
from funcdl.nn import Layer
from funcdl.nn.initializers import kaiming_normal, zeros


def dense_block(layers: int, growth: int, *, bottleneck: int = 4) -> Layer:
    """A dense block: each layer adds `growth` channels to its input, by BN, ReLU, 1 x 1, BN, ReLU, 3 x 3 convolution.

    Args:
        layers: the number of layers, `denselayer1`, `denselayer2`, ...
        growth: the channels that each layer adds, k in the paper.
        bottleneck: the factor of the 1 x 1 convolution, which has `bottleneck * growth` outputs.

    Output (batch, channels + layers * growth, height, width).

    Source: Huang et al., "Densely connected convolutional networks", 2017.

    >>> import torch
    >>> from funcdl import random
    >>> images = torch.ones(2, 24, 8, 8)
    >>> block = dense_block(3, growth=12)
    >>> block.apply(*block.init(random.key(0), images), images)[0].shape
    torch.Size([2, 60, 8, 8])
    """
    layer = nn.residual(
        nn.serial(
            norm1=nn.batch_norm2d(),
            relu1=nn.relu(),
            conv1=_conv(bottleneck * growth, 1),
            norm2=nn.batch_norm2d(),
            relu2=nn.relu(),
            conv2=_conv(growth, 3),
        ),
        combine=nn.concatenate(dim=1),
    )
    return nn.serial(**{f"denselayer{number}": layer for number in range(1, layers + 1)})


def dense_transition(channels: int) -> Layer:
    """A transition between dense blocks: BN, ReLU, a 1 x 1 convolution, and average pooling that halves the size.

    Args:
        channels: the output channels; half of the input's in most networks of the paper.

    >>> import torch
    >>> from funcdl import random
    >>> images = torch.ones(2, 60, 8, 8)
    >>> transition = dense_transition(30)
    >>> transition.apply(*transition.init(random.key(0), images), images)[0].shape
    torch.Size([2, 30, 4, 4])
    """
    return nn.serial(norm=nn.batch_norm2d(), relu=nn.relu(), conv=_conv(channels, 1), pool=nn.avg_pool2d(2))


def densenet(depths: Sequence[int] = (3, 3), growth: int = 12, classes: int = 10) -> Layer:
    """A densely connected network for small images such as digits: images in, logits out.

    A convolution of 5 x 5 and a pool, dense blocks with transitions between them that halve channels and size, and a
    linear layer after global average pooling. For images of (batch, 1, 28, 28): 46,702 parameters.

    Args:
        depths: the layers of each dense block.
        growth: the channels that each layer adds; the first convolution has twice as many outputs.
        classes: the number of classes.

    Parameter names are those of `densenet121`.

    >>> import torch
    >>> from funcdl import random, tree
    >>> params, buffers = densenet().init(random.key(0), torch.empty(1, 1, 28, 28, device="meta"))
    >>> tree.size(params), list(params["features"])
    (46702, ['conv0', 'denseblock1', 'transition1', 'denseblock2', 'norm3'])
    """
    stem = {"conv0": _conv(2 * growth, 5, padding=0), "pool0": nn.max_pool2d(2)}
    return _densenet(stem, 2 * growth, depths, growth, classes)


def densenet121(classes: int = 1000) -> Layer:
    """A densely connected network of 121 layers with weights: images in, logits out. 7,978,856 parameters.

    Args:
        classes: the number of classes.

    Input (batch, 3, height, width), 224 x 224 in the paper and any size from 32; output (batch, classes).

    Source: as in `dense_block`. Equals `torchvision.models.densenet121`, including names and initial distributions.

    >>> import torch
    >>> from funcdl import random, tree
    >>> images = torch.empty(1, 3, 224, 224, device="meta")
    >>> params, buffers = densenet121().init(random.key(0, device="meta"), images)
    >>> tree.size(params)
    7978856
    """
    stem = {
        "conv0": _conv(64, 7, 2),
        "norm0": nn.batch_norm2d(),
        "relu0": nn.relu(),
        "pool0": nn.max_pool2d(3, 2, padding=1),
    }
    return _densenet(stem, 64, (6, 12, 24, 16), 32, classes)


def _densenet(stem: dict[str, Layer], channels: int, depths: Sequence[int], growth: int, classes: int) -> Layer:
    features = dict(stem)
    for number, depth in enumerate(depths, 1):
        features[f"denseblock{number}"] = dense_block(depth, growth)
        channels += depth * growth
        if number < len(depths):
            channels //= 2
            features[f"transition{number}"] = dense_transition(channels)
    features[f"norm{len(depths) + 1}"] = nn.batch_norm2d()
    return nn.serial(
        features=nn.serial(**features),
        relu=nn.relu(),
        avgpool=nn.adaptive_avg_pool2d(1),
        flatten=nn.flatten(),
        classifier=nn.linear(classes, bias_init=zeros),
    )


def _conv(channels: int, kernel_size: int, stride: int = 1, padding: int | None = None) -> Layer:
    padding = kernel_size // 2 if padding is None else padding
    return nn.conv2d(channels, kernel_size, stride, padding, bias=False, weight_init=kaiming_normal())
