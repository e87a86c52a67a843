"""Pooling over windows: shared by max, min, average and Lp pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from funcdl.nn.layer import Layer, stateless
from funcdl.nn.validation import check_image, per_axis


def window_pool(
    constructor: str,
    axes: tuple[str, ...],
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None,
    padding: int | Sequence[int],
    ceil_mode: bool,
    pool: Callable[..., Tensor],
    dilation: int | Sequence[int] | None = None,
    description: str = "",
) -> Layer:
    """Pools windows of the spatial `axes` by `pool(x, kernel, strides, pads, [dilations,] ceil_mode)`.

    Errors name the layer `constructor(description)`, by default with the kernel size.
    """
    name = f"{constructor}({description or kernel_size})"
    rank = len(axes)
    kernel = per_axis(name, "kernel_size", kernel_size, rank)
    strides = kernel if stride is None else per_axis(name, "stride", stride, rank)
    pads = per_axis(name, "padding", padding, rank)
    dilations = (1,) * rank if dilation is None else per_axis(name, "dilation", dilation, rank)
    for argument, values in (("kernel_size", kernel), ("stride", strides), ("dilation", dilations)):
        if min(values) < 1:
            raise ValueError(f"{name}: expected {argument} of at least 1, got {values}")
    extents = tuple(d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True))
    if any(not 0 <= p <= extent // 2 for p, extent in zip(pads, extents, strict=True)):
        raise ValueError(f"{name}: expected padding from 0 to half the window, {extents}, got {padding}")
    spacing = () if dilation is None else (dilations,)

    def f(x: Tensor) -> Tensor:
        check_image(name, x, axes)
        for size, pad, extent, step in zip(x.shape[-rank:], pads, extents, strides, strict=True):
            excess = extent - size - 2 * pad  # of the first window over the padded input
            if size == 0 or excess >= (step if ceil_mode else 1):
                raise ValueError(
                    f"{name}: expected a padded image of at least {extents}, the extent of the window, "
                    f"got shape {tuple(x.shape)}; use a smaller window or fewer pooling layers"
                )
        return pool(x, kernel, strides, pads, *spacing, ceil_mode)

    return stateless(f)
