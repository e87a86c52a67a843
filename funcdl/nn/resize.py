"""Resizing: interpolation, and pixel shuffling between channels and pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor

from funcdl.nn.layer import Layer, stateless
from funcdl.nn.validation import check_numbers, check_whole

Mode = Literal["nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area"]

_RANKS = {"linear": (1,), "bilinear": (2,), "bicubic": (2,), "trilinear": (3,)}  # of the other modes: 1, 2 and 3


def upsample(
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: Mode = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Layer:
    """Resizes a sequence, an image or a volume by interpolation.

    Args:
        size: of the output, one number or one for each spatial axis. Either this or `scale_factor` is given.
        scale_factor: the output size is `floor(size * scale_factor)`; one number or one for each spatial axis.
        mode: "nearest" ("nearest-exact" rounds as image libraries do) and "area" (means) for one to three spatial axes,
            "linear" for one, "bilinear" and "bicubic" for two, "trilinear" for three.
        align_corners: for the last four modes: whether the centers of the corner points stay where they are, instead of
            the corners of the corner points; False by default.
        recompute_scale_factor: whether to interpolate by the ratio of the sizes in place of the given `scale_factor`.

    Input (batch, channels, length), (batch, channels, height, width) or (batch, channels, depth, height, width), output
    likewise.

    Raises:
        ValueError: incompatible arguments; by `apply`, an input of the wrong rank, or an empty output.

    Equals `torch.nn.Upsample`. Under `vmap`, "nearest-exact" is a loop, which `jit` unrolls.

    >>> import torch
    >>> upsample(scale_factor=2)({}, torch.arange(2.0).view(1, 1, 2))
    tensor([[[0., 0., 1., 1.]]])
    >>> upsample(size=(2, 5), mode="bilinear", align_corners=True)({}, torch.arange(4.0).view(1, 1, 2, 2))
    tensor([[[[0.0000, 0.2500, 0.5000, 0.7500, 1.0000],
              [2.0000, 2.2500, 2.5000, 2.7500, 3.0000]]]])
    """
    if (size is None) == (scale_factor is None):
        raise ValueError(f"upsample: expected size or scale_factor, got size={size} and scale_factor={scale_factor}")
    argument, value = ("size", size) if scale_factor is None else ("scale_factor", scale_factor)
    name = f"upsample({argument}={value}, mode={mode!r})"
    given: tuple[Any, ...] = tuple(value) if isinstance(value, Sequence) else (value,)
    if size is None:
        for each in given:
            check_numbers(name, scale_factor=each)
    else:
        for each in given:
            check_whole(name, size=each)
    if min(given) <= 0:
        raise ValueError(f"{name}: expected {argument} above 0")
    if mode not in (*_RANKS, "nearest", "nearest-exact", "area"):
        raise ValueError(f"{name}: expected mode nearest, nearest-exact, area, {', '.join(_RANKS)}, got {mode!r}")
    if align_corners is not None and mode not in _RANKS:
        raise ValueError(f"{name}: expected align_corners with mode {', '.join(_RANKS)} only, got {align_corners}")
    if recompute_scale_factor and size is not None:
        raise ValueError(f"{name}: expected recompute_scale_factor with a scale_factor only")
    ranks: tuple[int, ...] = (len(given),) if isinstance(value, Sequence) else (1, 2, 3)
    ranks = tuple(rank for rank in ranks if rank in _RANKS.get(mode, (1, 2, 3)))
    if not ranks:
        raise ValueError(f"{name}: expected {argument} of {_RANKS[mode][0]} numbers or one")

    def f(x: Tensor) -> Tensor:
        rank, sizes = x.ndim - 2, x.shape[2:]
        if rank not in ranks:
            raise ValueError(
                f"{name}: expected (batch, channels) and {' or '.join(map(str, ranks))} spatial axes, "
                f"got shape {tuple(x.shape)}; a single sample needs a batch of one, x[None]"
            )
        values = given if isinstance(value, Sequence) else given * rank
        if 0 in sizes or (size is None and any(int(n * scale) < 1 for n, scale in zip(sizes, values, strict=True))):
            raise ValueError(f"{name}: expected an image that leaves a point of each axis, got shape {tuple(x.shape)}")
        if 0 in x.shape:  # torch's nearest mode does not compile, and some modes raise an error
            ends = [int(n * scale) for n, scale in zip(sizes, values, strict=True)] if size is None else values
            return x.reshape(*x.shape[:2], *ends)
        if size is not None:
            return F.interpolate(x, values, None, mode, align_corners)
        return F.interpolate(x, None, [float(scale) for scale in values], mode, align_corners, recompute_scale_factor)

    return stateless(f)


def pixel_shuffle(upscale_factor: int) -> Layer:
    """Rearranges groups of `r**2` channels into one with `r` times the height and width; r is `upscale_factor`.

    `y[c, h * r + i, w * r + j] = x[(c * r + i) * r + j, h, w]`.

    Input (..., channels * r**2, height, width), output (..., channels, height * r, width * r).

    Raises:
        ValueError: a factor below 1, or raised by `apply` if `r**2` does not divide the channels.

    Source: Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel convolutional
    neural network", 2016. Equals `torch.nn.PixelShuffle`.

    >>> import torch
    >>> pixel_shuffle(2)({}, torch.arange(4.0).view(4, 1, 1))
    tensor([[[0., 1.],
             [2., 3.]]])
    """
    name = f"pixel_shuffle({upscale_factor})"
    _check_factor(name, upscale_factor)

    def f(x: Tensor) -> Tensor:
        if x.ndim < 3 or x.shape[-3] % upscale_factor**2:
            raise ValueError(
                f"{name}: expected (..., channels, height, width) with channels divisible by {upscale_factor**2}, "
                f"got shape {tuple(x.shape)}"
            )
        return F.pixel_shuffle(x, upscale_factor)

    return stateless(f)


def pixel_unshuffle(downscale_factor: int) -> Layer:
    """Rearranges each channel into `r**2` of 1/r the height and width: the inverse of `pixel_shuffle(r)`.

    Input (..., channels, height * r, width * r), output (..., channels * r**2, height, width).

    Raises:
        ValueError: a factor below 1, or raised by `apply` if it does not divide the height and the width.

    Equals `torch.nn.PixelUnshuffle`.

    >>> import torch
    >>> pixel_unshuffle(2)({}, torch.arange(4.0).view(1, 2, 2)).flatten()
    tensor([0., 1., 2., 3.])
    """
    name = f"pixel_unshuffle({downscale_factor})"
    _check_factor(name, downscale_factor)

    def f(x: Tensor) -> Tensor:
        if x.ndim < 3 or x.shape[-2] % downscale_factor or x.shape[-1] % downscale_factor:
            raise ValueError(
                f"{name}: expected (..., channels, height, width) with height and width divisible by "
                f"{downscale_factor}, got shape {tuple(x.shape)}"
            )
        return F.pixel_unshuffle(x, downscale_factor)

    return stateless(f)


def _check_factor(name: str, factor: int) -> None:
    check_whole(name, factor=factor)
    if factor < 1:
        raise ValueError(f"{name}: expected a factor of at least 1")
