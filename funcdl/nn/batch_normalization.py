"""Batch normalization: by the statistics of the batch in training, by their running averages in evaluation."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from funcdl.context import differentiated_once
from funcdl.nn.initializers import Initializer, ones, zeros
from funcdl.nn.initializers.layer_parameters import norm_weight_and_bias
from funcdl.nn.layer import Buffers, Layer, Params
from funcdl.nn.standardize import standardize
from funcdl.nn.validation import IMAGE, LENGTH, VOLUME, check_dtype, check_numbers, entry


def batch_norm1d(
    eps: float = 1e-05,
    momentum: float | None = 0.1,
    affine: bool = True,
    track_running_stats: bool = True,
    *,
    bias: bool = True,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Batch normalization: standardizes each channel, then applies a learned weight and bias.

    `y = (x - mean) / sqrt(var + eps) * weight + bias`. In training, `mean` and `var` (biased) are taken over the batch
    and all positions, and update the buffers: `running = (1 - momentum) * running + momentum * new`, with the unbiased
    variance. In evaluation, they are the running ones.

    Args:
        eps: added to the variance.
        momentum: the weight of the new batch; None for the average of all batches so far.
        affine: whether there is a weight, and with `bias` a bias, for each channel.
        track_running_stats: whether there are buffers `running_mean`, `running_var` and `num_batches_tracked`. Without
            them the batch statistics are always used.
        bias: whether an affine layer adds a bias.
        weight_init: draws the weight, of shape (channels,); ones by default.
        bias_init: draws the bias, of shape (channels,); zeros by default.

    Input (batch, channels) or (batch, channels, length), output likewise. The new buffers are a result of `apply`, and
    no gradient flows into them. An empty batch changes only `num_batches_tracked`. Under `vmap`, every member has
    its own statistics.

    Raises:
        ValueError: `eps` is negative or `momentum` not from 0 to 1; raised by `init` and `apply` if the input has the
            wrong rank or number of channels; raised by `apply` if a batch has only one value per channel.
        TypeError: raised by `apply` if the input has another dtype than the layer.

    Source: Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
    shift", 2015. Equals `torch.nn.BatchNorm1d`.

    >>> from funcdl import random
    >>> layer = batch_norm1d()
    >>> params, buffers = layer.init(random.key(0), torch.empty(8, 3, device="meta"))
    >>> y, buffers = layer.apply(params, buffers, torch.arange(24.0).view(8, 3), train=True)
    >>> buffers["running_mean"]
    tensor([1.0500, 1.1500, 1.2500])
    """
    return channel_norm(
        "batch_norm1d", LENGTH, eps, momentum, affine, track_running_stats, bias, weight_init, bias_init,
        of_sample=False,
    )  # fmt: skip


def batch_norm2d(
    eps: float = 1e-05,
    momentum: float | None = 0.1,
    affine: bool = True,
    track_running_stats: bool = True,
    *,
    bias: bool = True,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Like `batch_norm1d`, for images (batch, channels, height, width). Equals `torch.nn.BatchNorm2d`.

    >>> from funcdl import random
    >>> params, buffers = batch_norm2d().init(random.key(0), torch.empty(1, 3, 8, 8, device="meta"))
    >>> list(params), list(buffers)
    (['weight', 'bias'], ['running_mean', 'running_var', 'num_batches_tracked'])
    """
    return channel_norm(
        "batch_norm2d", IMAGE, eps, momentum, affine, track_running_stats, bias, weight_init, bias_init,
        of_sample=False,
    )  # fmt: skip


def batch_norm3d(
    eps: float = 1e-05,
    momentum: float | None = 0.1,
    affine: bool = True,
    track_running_stats: bool = True,
    *,
    bias: bool = True,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Like `batch_norm1d`, for volumes (batch, channels, depth, height, width). Equals `torch.nn.BatchNorm3d`.

    >>> from funcdl import random
    >>> params, buffers = batch_norm3d(affine=False).init(random.key(0), torch.empty(1, 3, 8, 8, 8, device="meta"))
    >>> params
    {}
    """
    return channel_norm(
        "batch_norm3d", VOLUME, eps, momentum, affine, track_running_stats, bias, weight_init, bias_init,
        of_sample=False,
    )  # fmt: skip


def channel_norm(
    constructor: str,
    axes: tuple[str, ...],
    eps: float,
    momentum: float | None,
    affine: bool,
    track_running_stats: bool,
    bias: bool,
    weight_init: Initializer | None,
    bias_init: Initializer | None,
    *,
    of_sample: bool,
) -> Layer:
    """Batch normalization of each channel or, with `of_sample`, instance normalization."""
    name = f"{constructor}()"
    check_numbers(name, 0, eps=eps)
    if momentum is not None or of_sample:
        check_numbers(name, 0, 1, momentum=momentum)
    image = f"channels, {', '.join(axes)}"
    shapes = {len(axes) + 2: f"(batch, {image})"}
    if of_sample:
        shapes[len(axes) + 1] = f"({image})"
    elif axes == LENGTH:
        shapes[2] = "(batch, channels)"

    def init(key: Tensor, x: Float[Tensor, "*batch"]) -> tuple[Params, Buffers]:
        shape = (channels_of(x),)
        dtype = x.dtype if x.dtype.is_floating_point else torch.get_default_dtype()
        params: Params = {}
        buffers: Buffers = {}
        if affine:
            params = norm_weight_and_bias(key, shape, dtype, bias=bias, weight_init=weight_init, bias_init=bias_init)
        if track_running_stats:
            buffers = {
                "running_mean": zeros(key, shape, dtype),
                "running_var": ones(key, shape, dtype),
                "num_batches_tracked": zeros(key, (), torch.int64),
            }
        return params, buffers

    def apply(
        params: Params, buffers: Buffers, x: Float[Tensor, "*batch"], *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Float[Tensor, "*batch"], Buffers]:
        channels = channels_of(x)
        weight = entry(name, params, "weight") if affine else None
        offset = entry(name, params, "bias") if affine and bias else None
        statistics = ("running_mean", "running_var") if track_running_stats else ()
        running = tuple(entry(name, buffers, part, "buffer") for part in statistics)
        for leaf in (weight, *running[:1]):
            if leaf is None:
                continue
            if (
                leaf is weight or torch.promote_types(leaf.dtype, x.dtype) != leaf.dtype
            ):  # statistics may have more precision
                check_dtype(name, x, leaf)
            if leaf.shape[0] != channels:
                raise ValueError(f"{name}: expected {leaf.shape[0]} channels, got shape {tuple(x.shape)}")
        batch = x[None] if of_sample and x.ndim == len(axes) + 1 else x
        if running and not train:
            mean, var = (leaf.to(x.dtype) for leaf in running)
            return F.batch_norm(batch, mean, var, weight, offset, False, 0.0, eps).view_as(x), buffers

        tracked = entry(name, buffers, "num_batches_tracked", "buffer") if running else None
        tracked = tracked if tracked is None or of_sample else tracked + 1
        if x.numel() == 0:  # an empty batch is only counted
            return x, buffers if tracked is None else {**buffers, "num_batches_tracked": tracked}
        samples = batch.shape[0]
        if of_sample:  # fold the samples into the channels
            batch = batch.reshape(1, samples * channels, *batch.shape[2:])
            weight, offset = (leaf if leaf is None else leaf.repeat(samples) for leaf in (weight, offset))
        count = batch.shape[0] * math.prod(batch.shape[2:])
        if count == 1:
            raise ValueError(
                f"{name}: expected more than one value per channel for the variance, got shape "
                f"{tuple(x.shape)}; pass {'larger inputs' if of_sample else 'a larger batch'}"
            )
        leaves = [leaf for leaf in (batch, weight, offset) if leaf is not None]
        if differentiated_once(*leaves):
            # Not F.batch_norm, which overwrites running statistics; this returns those of the batch too.
            y, mean, inverse_std = torch.native_batch_norm(batch, weight, offset, None, None, True, 0.0, eps)
            wide = torch.promote_types(inverse_std.dtype, torch.float32)
            var = torch.relu(inverse_std.to(wide) ** -2 - eps)  # not below 0 by rounding
        else:
            dims = (0, *range(2, batch.ndim))
            view = (1, -1, *(1 for _ in batch.shape[2:]))
            factor, shift = (leaf if leaf is None else leaf.view(view) for leaf in (weight, offset))
            y, mean, var = standardize(batch, dims, factor, shift, eps)
            mean, var = mean.detach().flatten(), var.detach().flatten()
            wide = var.dtype
        y = y.view_as(x) if of_sample else y
        if tracked is None:
            return y, buffers
        var = var * (count / (count - 1))
        if of_sample:
            mean, var = mean.view(samples, channels).mean(0), var.view(samples, channels).mean(0)
        share = momentum if momentum is not None else tracked.to(wide).reciprocal()
        return y, {
            "running_mean": torch.lerp(running[0].to(wide), mean.to(wide), share).to(running[0].dtype),
            "running_var": torch.lerp(running[1].to(wide), var, share).to(running[0].dtype),
            "num_batches_tracked": tracked,
        }

    def channels_of(x: Tensor) -> int:
        if x.ndim not in shapes:
            raise ValueError(f"{name}: expected {' or '.join(shapes.values())}, got shape {tuple(x.shape)}")
        return x.shape[-len(axes) - 1] if of_sample else x.shape[1]

    return Layer(init, apply)
