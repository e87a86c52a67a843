"""Instance normalization: by the statistics of each channel in each sample."""

from __future__ import annotations

from funcdl.nn.batch_normalization import channel_norm
from funcdl.nn.initializers import Initializer
from funcdl.nn.layer import Layer
from funcdl.nn.validation import IMAGE, LENGTH, VOLUME


def instance_norm1d(
    eps: float = 1e-05,
    momentum: float = 0.1,
    affine: bool = False,
    track_running_stats: bool = False,
    *,
    bias: bool = True,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Instance normalization: `batch_norm1d` with statistics of each sample; by default without weight and buffers.

    Args:
        eps: added to the variance.
        momentum: the weight of the new statistics, averaged over the batch.
        affine: whether there is a weight, and with `bias` a bias, for each channel.
        track_running_stats: whether there are buffers `running_mean` and `running_var`, used in evaluation. (A
            third buffer, `num_batches_tracked`, stays 0, as in torch.)
        bias: whether an affine layer adds a bias.
        weight_init: draws the weight, of shape (channels,); ones by default.
        bias_init: draws the bias, of shape (channels,); zeros by default.

    Input (batch, channels, length) or (channels, length), output likewise.

    Raises:
        ValueError: raised by `init` and `apply` if the input has the wrong rank or number of channels, or by `apply` if
            a channel has only one value.
        TypeError: raised by `apply` if the input has another dtype than the layer.

    Source: Ulyanov et al., "Instance normalization: the missing ingredient for fast stylization", 2016. Equals
    `torch.nn.InstanceNorm1d`.

    >>> import torch
    >>> instance_norm1d(eps=0)({}, torch.tensor([[[1.0, 3.0], [10.0, 30.0]]]))
    tensor([[[-1.,  1.],
             [-1.,  1.]]])
    """
    return channel_norm(
        "instance_norm1d", LENGTH, eps, momentum, affine, track_running_stats, bias, weight_init, bias_init,
        of_sample=True,
    )  # fmt: skip


def instance_norm2d(
    eps: float = 1e-05,
    momentum: float = 0.1,
    affine: bool = False,
    track_running_stats: bool = False,
    *,
    bias: bool = True,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Like `instance_norm1d`, for images (batch, channels, height, width). Equals `torch.nn.InstanceNorm2d`.

    >>> import torch
    >>> instance_norm2d()({}, torch.ones(5, 3, 8, 8)).shape
    torch.Size([5, 3, 8, 8])
    """
    return channel_norm(
        "instance_norm2d", IMAGE, eps, momentum, affine, track_running_stats, bias, weight_init, bias_init,
        of_sample=True,
    )  # fmt: skip


def instance_norm3d(
    eps: float = 1e-05,
    momentum: float = 0.1,
    affine: bool = False,
    track_running_stats: bool = False,
    *,
    bias: bool = True,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Like `instance_norm1d`, for volumes (batch, channels, depth, height, width). Equals `torch.nn.InstanceNorm3d`.

    >>> import torch
    >>> instance_norm3d()({}, torch.ones(5, 3, 8, 8, 8)).shape
    torch.Size([5, 3, 8, 8, 8])
    """
    return channel_norm(
        "instance_norm3d", VOLUME, eps, momentum, affine, track_running_stats, bias, weight_init, bias_init,
        of_sample=True,
    )  # fmt: skip
