"""Padding of sequences, images and volumes."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from funcdl.nn.layer import Layer, stateless
from funcdl.nn.validation import IMAGE, LENGTH, VOLUME, check_image, is_whole


def zero_pad1d(padding: int | Sequence[int]) -> Layer:
    """Zero padding of a sequence: `constant_pad1d(padding, 0)`. Equals `torch.nn.ZeroPad1d`.

    >>> import torch
    >>> zero_pad1d((1, 2))({}, torch.ones(1, 2))
    tensor([[0., 1., 1., 0., 0.]])
    """
    return _pad_layer("zero_pad1d", LENGTH, padding, "constant", 0)


def zero_pad2d(padding: int | Sequence[int]) -> Layer:
    """Zero padding of an image: `constant_pad2d(padding, 0)`. Equals `torch.nn.ZeroPad2d`.

    >>> import torch
    >>> zero_pad2d(1)({}, torch.ones(1, 1, 1))
    tensor([[[0., 0., 0.],
             [0., 1., 0.],
             [0., 0., 0.]]])
    """
    return _pad_layer("zero_pad2d", IMAGE, padding, "constant", 0)


def zero_pad3d(padding: int | Sequence[int]) -> Layer:
    """Zero padding of a volume: `constant_pad3d(padding, 0)`. Equals `torch.nn.ZeroPad3d`.

    >>> import torch
    >>> zero_pad3d(1)({}, torch.ones(1, 1, 2, 3)).shape
    torch.Size([1, 3, 4, 5])
    """
    return _pad_layer("zero_pad3d", VOLUME, padding, "constant", 0)


def constant_pad1d(padding: int | Sequence[int], value: float) -> Layer:
    """Constant padding of a sequence: `constant_pad2d` with `padding` of one number or (left, right).

    Equals `torch.nn.ConstantPad1d`.

    >>> import torch
    >>> constant_pad1d((0, 2), -1.0)({}, torch.ones(1, 2))
    tensor([[ 1.,  1., -1., -1.]])
    """
    return _pad_layer("constant_pad1d", LENGTH, padding, "constant", value)


def constant_pad2d(padding: int | Sequence[int], value: float) -> Layer:
    """Constant padding of an image.

    Args:
        padding: how many points to add: one number, or (left, right, top, bottom), the last axis first. Negative
            padding crops.
        value: the value of the padding.

    Input (..., height, width), output (..., height + top + bottom, width + left + right).

    Raises:
        ValueError: another number of paddings, an input with fewer axes, or more cropped than there is.

    Equals `torch.nn.ConstantPad2d`.

    >>> import torch
    >>> constant_pad2d((0, 1, -1, 1), 9.0)({}, torch.ones(1, 2, 2))
    tensor([[[1., 1., 9.],
             [9., 9., 9.]]])
    """
    return _pad_layer("constant_pad2d", IMAGE, padding, "constant", value)


def constant_pad3d(padding: int | Sequence[int], value: float) -> Layer:
    """Constant padding of a volume: `constant_pad2d` with six paddings, (left, right, top, bottom, front, back).

    Equals `torch.nn.ConstantPad3d`.

    >>> import torch
    >>> constant_pad3d((0, 0, 0, 0, 1, 1), 0.5)({}, torch.ones(1, 1, 1, 1)).flatten()
    tensor([0.5000, 1.0000, 0.5000])
    """
    return _pad_layer("constant_pad3d", VOLUME, padding, "constant", value)


def reflection_pad1d(padding: int | Sequence[int]) -> Layer:
    """Reflection padding of a sequence: `reflection_pad2d` with `padding` of one number or (left, right).

    Equals `torch.nn.ReflectionPad1d`.

    >>> import torch
    >>> reflection_pad1d(2)({}, torch.arange(4.0).view(1, 4))
    tensor([[2., 1., 0., 1., 2., 3., 2., 1.]])
    """
    return _pad_layer("reflection_pad1d", LENGTH, padding, "reflect")


def reflection_pad2d(padding: int | Sequence[int]) -> Layer:
    """Reflection padding of an image: mirrors it at its edges, without repeating the edge.

    Args:
        padding: how many points to add: one number, or (left, right, top, bottom), the last axis first; less than the
            size of the axis. Negative padding crops.

    Input (batch, channels, height, width) or (channels, height, width), output likewise.

    Raises:
        ValueError: another number of paddings, an input of another rank, or one that is too small for the padding.

    Equals `torch.nn.ReflectionPad2d`.

    >>> import torch
    >>> reflection_pad2d((1, 1, 0, 0))({}, torch.arange(4.0).view(1, 2, 2))
    tensor([[[1., 0., 1., 0.],
             [3., 2., 3., 2.]]])
    """
    return _pad_layer("reflection_pad2d", IMAGE, padding, "reflect")


def reflection_pad3d(padding: int | Sequence[int]) -> Layer:
    """Reflection padding of a volume: `reflection_pad2d` with six paddings, (left, right, top, bottom, front, back).

    Equals `torch.nn.ReflectionPad3d`.

    >>> import torch
    >>> reflection_pad3d((0, 0, 0, 0, 1, 1))({}, torch.arange(2.0).view(1, 2, 1, 1)).flatten()
    tensor([1., 0., 1., 0.])
    """
    return _pad_layer("reflection_pad3d", VOLUME, padding, "reflect")


def replication_pad1d(padding: int | Sequence[int]) -> Layer:
    """Replication padding of a sequence: `replication_pad2d` with `padding` of one number or (left, right).

    Equals `torch.nn.ReplicationPad1d`.

    >>> import torch
    >>> replication_pad1d(2)({}, torch.arange(3.0).view(1, 3))
    tensor([[0., 0., 0., 1., 2., 2., 2.]])
    """
    return _pad_layer("replication_pad1d", LENGTH, padding, "replicate")


def replication_pad2d(padding: int | Sequence[int]) -> Layer:
    """Replication padding of an image: repeats its edges.

    Arguments, input and errors as for `reflection_pad2d`, but without a limit of the padding.

    Equals `torch.nn.ReplicationPad2d`.

    >>> import torch
    >>> replication_pad2d((1, 1, 0, 0))({}, torch.arange(4.0).view(1, 2, 2))
    tensor([[[0., 0., 1., 1.],
             [2., 2., 3., 3.]]])
    """
    return _pad_layer("replication_pad2d", IMAGE, padding, "replicate")


def replication_pad3d(padding: int | Sequence[int]) -> Layer:
    """Replication padding of a volume: `replication_pad2d` with six paddings, (left, right, top, bottom, front, back).

    Equals `torch.nn.ReplicationPad3d`.

    >>> import torch
    >>> replication_pad3d((0, 0, 0, 0, 1, 1))({}, torch.arange(2.0).view(1, 2, 1, 1)).flatten()
    tensor([0., 0., 1., 1.])
    """
    return _pad_layer("replication_pad3d", VOLUME, padding, "replicate")


def circular_pad1d(padding: int | Sequence[int]) -> Layer:
    """Circular padding of a sequence: `circular_pad2d` with `padding` of one number or (left, right).

    Equals `torch.nn.CircularPad1d`.

    >>> import torch
    >>> circular_pad1d(2)({}, torch.arange(4.0).view(1, 4))
    tensor([[2., 3., 0., 1., 2., 3., 0., 1.]])
    """
    return _pad_layer("circular_pad1d", LENGTH, padding, "circular")


def circular_pad2d(padding: int | Sequence[int]) -> Layer:
    """Circular padding of an image: continues it periodically.

    Arguments as for `reflection_pad2d`; padding is at most the size of the axis.

    Equals `torch.nn.CircularPad2d`.

    >>> import torch
    >>> circular_pad2d((1, 0, 0, 1))({}, torch.arange(4.0).view(1, 2, 2))
    tensor([[[1., 0., 1.],
             [3., 2., 3.],
             [1., 0., 1.]]])
    """
    return _pad_layer("circular_pad2d", IMAGE, padding, "circular")


def circular_pad3d(padding: int | Sequence[int]) -> Layer:
    """Circular padding of a volume: `circular_pad2d` with six paddings, (left, right, top, bottom, front, back).

    Equals `torch.nn.CircularPad3d`.

    >>> import torch
    >>> circular_pad3d((0, 0, 0, 0, 1, 1))({}, torch.arange(2.0).view(1, 2, 1, 1)).flatten()
    tensor([1., 0., 1., 0.])
    """
    return _pad_layer("circular_pad3d", VOLUME, padding, "circular")


def pad(layer: str, x: Tensor, pads: Sequence[tuple[int, int]], mode: str, value: float | None = None) -> Tensor:
    """Pads the last axes of `x` by (before, after) for each; raises a ValueError that names the `layer`."""
    sizes = tuple(x.shape[-len(pads) :])
    for size, (before, after) in zip(sizes, pads, strict=True):
        limit = {"reflect": size - 1, "circular": size}.get(mode)
        if limit is not None and max(before, after) > limit:
            raise ValueError(
                f"{layer}: expected a padding {'smaller than' if mode == 'reflect' else 'of at most'} the size of its "
                f"axis, got {(before, after)} for size {size} of an input of shape {tuple(x.shape)}"
            )
        if size + before + after < (mode != "constant"):
            raise ValueError(
                f"{layer}: expected a padding that leaves something, got {(before, after)} for size {size} of an input "
                f"of shape {tuple(x.shape)}"
            )
    return F.pad(x, [side for sides in reversed(pads) for side in sides], mode, value)  # the last axis first


def _pad_layer(
    constructor: str, axes: tuple[str, ...], padding: int | Sequence[int], mode: str, value: float | None = None
) -> Layer:
    """Returns a layer that pads the spatial `axes`."""
    name = f"{constructor}({padding})" if not value else f"{constructor}({padding}, {value})"
    rank = len(axes)
    sides = tuple(padding) if isinstance(padding, Sequence) else (padding,) * (2 * rank)
    if len(sides) != 2 * rank or not all(is_whole(side) for side in sides):
        raise ValueError(f"{name}: expected an int or {2 * rank} of them for padding, two an axis, the last axis first")
    pads = list(zip(sides[-2::-2], sides[::-2], strict=True))

    def f(x: Tensor) -> Tensor:
        if mode != "constant":
            check_image(name, x, axes)
        elif x.ndim < rank:
            raise ValueError(f"{name}: expected (..., {', '.join(axes)}), got shape {tuple(x.shape)}")
        return pad(name, x, pads, mode, value)

    return stateless(f)
