"""ResNets: residual networks for images."""

from __future__ import annotations

from collections.abc import Sequence

from funcdl import nn
from funcdl.nn import Layer
from funcdl.nn.initializers import kaiming_normal


def resnet18(classes: int = 1000) -> Layer:
    """A residual network of 18 layers with weights: images in, logits out. 11,689,512 parameters.

    Args:
        classes: the number of classes.

    Input (batch, 3, height, width), 224 x 224 in the paper and any size from 32 here, because the last feature map is
    averaged; output (batch, classes).

    Source: He et al., "Deep residual learning for image recognition", 2016. Equals `torchvision.models.resnet18`,
    including names and initial distributions.

    >>> import torch
    >>> from funcdl import random, tree
    >>> images = torch.empty(1, 3, 224, 224, device="meta")
    >>> params, buffers = resnet18().init(random.key(0, device="meta"), images)
    >>> tree.size(params)
    11689512
    """
    return _resnet((2, 2, 2, 2), classes, bottleneck=False)


def resnet34(classes: int = 1000) -> Layer:
    """Like `resnet18`, of 34 layers: 21,797,672 parameters. Equals `torchvision.models.resnet34`."""
    return _resnet((3, 4, 6, 3), classes, bottleneck=False)


def resnet50(classes: int = 1000) -> Layer:
    """Like `resnet18`, of 50 layers in blocks with bottlenecks: 25,557,032 parameters.

    The stride is in the 3 x 3 convolution of a block, where the paper has it in the first of 1 x 1. Equals
    `torchvision.models.resnet50`.
    """
    return _resnet((3, 4, 6, 3), classes, bottleneck=True)


def _resnet(depths: Sequence[int], classes: int, *, bottleneck: bool) -> Layer:
    stages = {}
    for number, depth in enumerate(depths, 1):
        width, stride = 64 * 2 ** (number - 1), 1 if number == 1 else 2
        projected = bottleneck or number > 1  # the first block of a stage changes channels or size
        blocks = [_block(width, stride if i == 0 else 1, bottleneck, projected and i == 0) for i in range(depth)]
        stages[f"layer{number}"] = nn.serial(*blocks)
    return nn.serial(
        conv1=_conv(64, 7, 2),
        bn1=nn.batch_norm2d(),
        relu=nn.relu(),
        maxpool=nn.max_pool2d(3, 2, padding=1),
        **stages,
        avgpool=nn.adaptive_avg_pool2d(1),
        flatten=nn.flatten(),
        fc=nn.linear(classes),
    )


def _block(width: int, stride: int, bottleneck: bool, projected: bool) -> Layer:
    kernels = ((width, 1, 1), (width, 3, stride), (4 * width, 1, 1)) if bottleneck else (
        (width, 3, stride), (width, 3, 1),
    )  # fmt: skip
    body: dict[str, Layer] = {}
    for number, (channels, kernel_size, step) in enumerate(kernels, 1):
        body |= {f"conv{number}": _conv(channels, kernel_size, step), f"bn{number}": nn.batch_norm2d()}
        body |= {f"relu{number}": nn.relu()} if number < len(kernels) else {}
    downsample = {"downsample": nn.serial(_conv(kernels[-1][0], 1, stride), nn.batch_norm2d())} if projected else {}
    return nn.residual(nn.serial(**body), combine=nn.serial(nn.add(), nn.relu()), **downsample)


def _conv(channels: int, kernel_size: int, stride: int) -> Layer:
    weight_init = kaiming_normal(mode="fan_out", nonlinearity="relu")
    return nn.conv2d(channels, kernel_size, stride, padding=kernel_size // 2, bias=False, weight_init=weight_init)
