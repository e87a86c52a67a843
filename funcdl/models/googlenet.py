"""GoogLeNet: a network of Inception modules for images."""

from __future__ import annotations

from torch import Tensor

from funcdl import nn
from funcdl.nn import Layer
from funcdl.nn.children import Children, apply_child, child_keys, init_child, on_meta
from funcdl.nn.initializers import truncated_normal
from funcdl.nn.layer import Buffers, Params
from funcdl.tree import Tree

_MODULES = {  # channels of each branch: 1x1; 1x1 and 3x3; 1x1 and 3x3; 1x1 after the pool
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
_AUXILIARY = {"inception4a": "aux1", "inception4d": "aux2"}  # module -> the auxiliary classifier after it

_weight_init = truncated_normal(std=0.01)


def googlenet(
    classes: int = 1000, *, aux_logits: bool = False, transform_input: bool = False, dropout: float = 0.2
) -> Layer:
    """Nine Inception modules between two convolutions and a linear layer: images in, logits out.

    Args:
        classes: the number of classes.
        aux_logits: whether there are two auxiliary classifiers in the middle, whose losses help training. If so, the
            output with `train=True` is `(logits, logits of aux2, logits of aux1)`.
        transform_input: whether to convert inputs normalized by ImageNet's means and standard deviations to mean 0.5
            and deviation 0.5, as torchvision's published weights expect.
        dropout: the probability of a zero, before the last linear layer.

    Input (batch, 3, height, width), 224 x 224 in the paper and any size from 15; output (batch, classes). 6,624,904
    parameters for 1,000 classes; 13,004,888 with `aux_logits`.

    Source: Szegedy et al., "Going deeper with convolutions", 2015. Equals `torchvision.models.googlenet`, including
    initial distributions: it has a batch norm after each convolution, and 3 x 3 where the paper has 5 x 5. In
    torchvision `aux_logits` is True by default.

    >>> import torch
    >>> from funcdl import random, tree
    >>> images = torch.empty(1, 3, 224, 224, device="meta")
    >>> params, buffers = googlenet().init(random.key(0, device="meta"), images)
    >>> tree.size(params)
    6624904
    """
    modules = {f"inception{name}": _module(*channels) for name, channels in _MODULES.items()}
    layers: dict[str, Layer] = {
        "transform_input": nn.stateless(_transform) if transform_input else nn.identity(),
        "conv1": _conv(64, 7, 2),
        "maxpool1": nn.max_pool2d(3, 2, ceil_mode=True),
        "conv2": _conv(64, 1),
        "conv3": _conv(192, 3),
        "maxpool2": nn.max_pool2d(3, 2, ceil_mode=True),
        **{name: layer for name, layer in modules.items() if "3" in name},
        "maxpool3": nn.max_pool2d(3, 2, ceil_mode=True),
        **{name: layer for name, layer in modules.items() if "4" in name},
        "maxpool4": nn.max_pool2d(2, 2, ceil_mode=True),
        **{name: layer for name, layer in modules.items() if "5" in name},
        "avgpool": nn.adaptive_avg_pool2d(1),
        "flatten": nn.flatten(),
        "dropout": nn.dropout(dropout),
        "fc": nn.linear(classes, weight_init=_weight_init),
    }
    return _with_auxiliary(layers, classes) if aux_logits else nn.serial(**layers)


def _with_auxiliary(layers: dict[str, Layer], classes: int) -> Layer:
    """Applies layers in sequence, with auxiliary classifiers that branch off after two of them."""
    children: Children = []
    for name, layer in layers.items():
        children.append((name, layer))
        if name in _AUXILIARY:
            children.append((_AUXILIARY[name], _auxiliary(classes)))

    def init(key: Tensor, x: Tree) -> tuple[Params, Buffers]:
        params: Params = {}
        buffers: Buffers = {}
        x = on_meta(x)
        for (name, layer), child_key in zip(children, child_keys(key, len(children)), strict=True):
            y = init_child(name, layer, params, buffers, child_key, x)
            x = x if name in _AUXILIARY.values() else y
        return params, buffers

    def apply(
        params: Params, buffers: Buffers, x: Tree, *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Tree, Buffers]:
        changed: Buffers = {}
        auxiliary: list[Tensor] = []
        for (name, layer), child_key in zip(children, child_keys(key, len(children)), strict=True):
            is_auxiliary = name in _AUXILIARY.values()
            if is_auxiliary and not train:
                continue
            y = apply_child(name, layer, params, buffers, changed, x, child_key, train)
            if is_auxiliary:
                auxiliary.append(y)
            else:
                x = y
        return (x, *reversed(auxiliary)) if train else x, {**buffers, **changed} if changed else buffers

    return Layer(init, apply)


def _module(ch1x1: int, ch3x3red: int, ch3x3: int, ch5x5red: int, ch5x5: int, pool: int) -> Layer:
    return nn.parallel(
        branch1=_conv(ch1x1, 1),
        branch2=nn.serial(_conv(ch3x3red, 1), _conv(ch3x3, 3)),
        branch3=nn.serial(_conv(ch5x5red, 1), _conv(ch5x5, 3)),
        branch4=nn.serial(nn.max_pool2d(3, 1, padding=1, ceil_mode=True), _conv(pool, 1)),
        combine=nn.concatenate(dim=1),
    )


def _auxiliary(classes: int) -> Layer:
    return nn.serial(
        avgpool=nn.adaptive_avg_pool2d(4),
        conv=_conv(128, 1),
        flatten=nn.flatten(),
        fc1=nn.linear(1024, weight_init=_weight_init),
        relu=nn.relu(),
        dropout=nn.dropout(0.7),
        fc2=nn.linear(classes, weight_init=_weight_init),
    )


def _conv(channels: int, kernel_size: int, stride: int = 1) -> Layer:
    conv = nn.conv2d(channels, kernel_size, stride, padding=kernel_size // 2, bias=False, weight_init=_weight_init)
    return nn.serial(conv=conv, bn=nn.batch_norm2d(eps=0.001), relu=nn.relu())


def _transform(x: Tensor) -> Tensor:
    mean, std = (x.new_tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return (x * std + mean - 0.5) / 0.5
