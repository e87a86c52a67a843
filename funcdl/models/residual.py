"""Residual blocks with variants of the shortcut, and a network of two of them for digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from torch import Tensor

from funcdl import nn
from funcdl.nn import Layer
from funcdl.nn.initializers import constant

Variant = Literal[
    "original",
    "scaled",
    "scaled-shortcut",
    "exclusive-gate",
    "shortcut-gate",
    "conv-shortcut",
    "dropout-shortcut",
    "bn-after-add",
    "relu-before-add",
    "relu-preactivation",
    "full-preactivation",
]
VARIANTS: tuple[Variant, ...] = get_args(Variant)

Gated = tuple[tuple[Tensor, Tensor], Tensor]  # the gate's logits and x; and the residual


def residual_block(channels: int, variant: Variant = "original", *, gate_bias: float = -6.0) -> Layer:
    """Two convolutions of 3 x 3 whose output is added to their input: `relu(F(x) + x)`, `F = conv2(relu(conv1(x)))`.

    Args:
        channels: the channels of the input and of the output.
        variant: the form of the shortcut and of the operations after the addition; `W1` and `W2` are the convolutions:

            - "original": `relu(F + x)`
            - "scaled": `relu(0.5 F + 0.5 x)`; "scaled-shortcut": `relu(F + 0.5 x)`
            - "exclusive-gate": `relu(g F + (1 - g) x)`, `g = sigmoid(V x + b)` with a convolution `V` of 1 x 1
            - "shortcut-gate": `relu(F + (1 - g) x)`
            - "conv-shortcut": `relu(F + V x)`
            - "dropout-shortcut": `relu(F + dropout(x))`, half of `x` dropped
            - "bn-after-add": `relu(BN(F + x))`
            - "relu-before-add": `relu(F) + x`
            - "relu-preactivation": `x + BN(W2 relu(BN(W1 relu(x))))`
            - "full-preactivation": `x + W2 relu(BN(W1 relu(BN(x))))`
        gate_bias: the initial `b`. At -6 the gates pass `x` at the start, without which the network does not train.

    Parameters: `conv1 conv2`, with `bn1 bn2` in the preactivation variants, `gate.conv`, `shortcut` or `bn`.

    Raises:
        ValueError: `variant` is unknown.

    Source: He et al., "Identity mappings in deep residual networks", 2016. Its test errors of ResNet-110 on CIFAR-10,
    in the order above: 6.61 %; 12.35; no convergence; 8.70; 6.91 (12.86 with `gate_bias=0`); 12.22; no convergence;
    8.17; 7.84; 6.71; 6.37. As in the lecture there are only the batch norms named here; the paper has one after every
    convolution.

    >>> import torch
    >>> from funcdl import random, tree
    >>> params, buffers = residual_block(16).init(random.key(0), torch.empty(1, 16, 12, 12, device="meta"))
    >>> tree.size(params)
    4640
    """
    if variant not in VARIANTS:
        raise ValueError(f"residual_block: expected a variant of {', '.join(VARIANTS)}, got {variant!r}")
    conv1, conv2, bn = nn.conv2d(channels, 3, padding=1), nn.conv2d(channels, 3, padding=1), nn.batch_norm2d()
    conv1x1, relu = nn.conv2d(channels, 1), nn.relu()
    gate = nn.parallel(conv=nn.conv2d(channels, 1, bias_init=constant(gate_bias)), x=nn.identity())
    body = nn.serial(conv1=conv1, relu=relu, conv2=conv2)
    match variant:
        case "scaled":
            return nn.residual(body, combine=nn.serial(_scaled(0.5, 0.5), relu))
        case "scaled-shortcut":
            return nn.residual(body, combine=nn.serial(_scaled(0.5, 1.0), relu))
        case "exclusive-gate":
            return nn.residual(body, gate=gate, combine=nn.serial(_exclusive_gate, relu))
        case "shortcut-gate":
            return nn.residual(body, gate=gate, combine=nn.serial(_shortcut_gate, relu))
        case "conv-shortcut":
            return nn.residual(body, shortcut=conv1x1, combine=nn.serial(nn.add(), relu))
        case "dropout-shortcut":
            return nn.residual(body, shortcut=nn.dropout(0.5), combine=nn.serial(nn.add(), relu))
        case "bn-after-add":
            return nn.serial(block=nn.residual(body), bn=bn, relu=relu)
        case "relu-before-add":
            return nn.residual(nn.serial(conv1=conv1, relu1=relu, conv2=conv2, relu2=relu))
        case "relu-preactivation":
            return nn.residual(nn.serial(relu1=relu, conv1=conv1, bn1=bn, relu2=relu, conv2=conv2, bn2=bn))
        case "full-preactivation":
            return nn.residual(nn.serial(bn1=bn, relu1=relu, conv1=conv1, bn2=bn, relu2=relu, conv2=conv2))
    return nn.residual(body, combine=nn.serial(nn.add(), relu))


def residual_net(classes: int = 10, variant: Variant = "original") -> Layer:
    """Two convolutions of 5 x 5, each with a pool and a residual block, and one linear layer: images in, logits out.

    For images of (batch, 1, 28, 28) and 10 classes: 512 features after `flatten`, 41,514 parameters with the original
    block, in `conv1 rblock1 conv2 rblock2 fc`.

    Args:
        classes: the number of classes.
        variant: the variant of both blocks, as in `residual_block`.

    >>> import torch
    >>> from funcdl import random, tree
    >>> params, buffers = residual_net().init(random.key(0), torch.empty(1, 1, 28, 28, device="meta"))
    >>> tree.size(params), params["rblock1"]["conv2"]["weight"].shape
    (41514, torch.Size([16, 16, 3, 3]))
    """
    return nn.serial(
        conv1=nn.conv2d(16, 5),
        relu1=nn.relu(),
        pool1=nn.max_pool2d(2),
        rblock1=residual_block(16, variant),
        conv2=nn.conv2d(32, 5),
        relu2=nn.relu(),
        pool2=nn.max_pool2d(2),
        rblock2=residual_block(32, variant),
        flatten=nn.flatten(),
        fc=nn.linear(classes),
    )


def _scaled(shortcut: float, residual: float) -> Callable[[tuple[Tensor, Tensor]], Tensor]:
    return lambda parts: shortcut * parts[0] + residual * parts[1]


def _exclusive_gate(parts: Gated) -> Tensor:
    (logits, x), residual = parts
    gate = logits.sigmoid()
    return gate * residual + (1 - gate) * x


def _shortcut_gate(parts: Gated) -> Tensor:
    (logits, x), residual = parts
    return residual + (1 - logits.sigmoid()) * x
