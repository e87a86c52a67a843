"""Losses of regression, and likelihoods of predicted distributions."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from funcdl.losses.reduction import Reduction, check_shapes, reduce


def mse(
    predictions: Float[Tensor, "*shape"],
    targets: Float[Tensor, "*shape"],
    *,
    weight: Float[Tensor, "*shape"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*loss"]:
    """Squared error: `weight * (predictions - targets) ** 2`.

    Args:
        predictions: a tensor of any shape.
        targets: a tensor of the same shape. They are not broadcast: (batch, 1) against (batch,) is almost always a
            mistake.
        weight: the weight of each element, of the same shape; ones by default.
        reduction: "mean" divides the sum by the sum of the weights.

    Raises:
        ValueError: the shapes differ, or `reduction` is invalid.

    Equals `torch.nn.functional.mse_loss`.

    >>> mse(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
    tensor(2.)
    """
    check_shapes("mse", predictions.shape, targets=targets, weight=weight)
    # reduction="none": torch's mean has no forward-mode derivative of its gradient
    return _weighted(F.mse_loss(predictions, targets, reduction="none"), weight, reduction)


def l1(
    predictions: Float[Tensor, "*shape"],
    targets: Float[Tensor, "*shape"],
    *,
    weight: Float[Tensor, "*shape"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*loss"]:
    """Absolute error: `weight * |predictions - targets|`.

    Args:
        predictions, targets, weight, reduction: as for `mse`.

    Raises:
        ValueError: as in `mse`.

    Equals `torch.nn.functional.l1_loss`.

    >>> l1(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 5.0]))
    tensor(1.5000)
    """
    check_shapes("l1", predictions.shape, targets=targets, weight=weight)
    return _weighted(F.l1_loss(predictions, targets, reduction="none"), weight, reduction)


def smooth_l1(
    predictions: Float[Tensor, "*shape"],
    targets: Float[Tensor, "*shape"],
    *,
    reduction: Reduction = "mean",
    beta: float = 1.0,
) -> Float[Tensor, "*loss"]:
    """Absolute error, quadratic near zero: `d**2 / (2 * beta)` where distance `d < beta`, else `d - beta / 2`.

    Args:
        predictions, targets, reduction: as for `mse`.
        beta: the distance below which the loss is quadratic, not negative; 0 gives `l1`.

    Raises:
        ValueError: as in `mse`, or `beta` is negative.

    Source: Girshick, "Fast R-CNN", 2015. Equals `torch.nn.functional.smooth_l1_loss`, and `huber` divided by `beta`.

    >>> smooth_l1(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 3.0]), reduction="none")
    tensor([0.5000, 2.5000])
    """
    if not beta >= 0:
        raise ValueError(f"smooth_l1: expected beta >= 0, got {beta}")
    check_shapes("smooth_l1", predictions.shape, targets=targets)
    return reduce(F.smooth_l1_loss(predictions, targets, reduction="none", beta=beta), reduction)


def huber(
    predictions: Float[Tensor, "*shape"],
    targets: Float[Tensor, "*shape"],
    *,
    reduction: Reduction = "mean",
    delta: float = 1.0,
    weight: Float[Tensor, "*shape"] | None = None,
) -> Float[Tensor, "*loss"]:
    """Squared error `d**2 / 2` where distance `d < delta`, else absolute error `delta * (d - delta / 2)`.

    Args:
        predictions, targets, weight: as for `mse`.
        reduction: "mean" divides the sum by the number of elements, whatever their weights.
        delta: the distance above which the loss is linear, positive.

    Raises:
        ValueError: as in `mse`, or `delta` is not positive.

    Source: Huber, "Robust estimation of a location parameter", 1964. Equals `torch.nn.functional.huber_loss`.

    >>> huber(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 3.0]), delta=2.0, reduction="none")
    tensor([0.5000, 4.0000])
    """
    if not delta > 0:
        raise ValueError(f"huber: expected delta > 0, got {delta}")
    check_shapes("huber", predictions.shape, targets=targets, weight=weight)
    # by plain operations: torch's kernel has no forward-mode derivative of its gradient
    errors = predictions - targets
    distances = errors.abs()
    each = torch.where(distances < delta, 0.5 * errors.square(), delta * (distances - 0.5 * delta))
    return reduce(each if weight is None else each * weight, reduction)


def poisson_nll(
    predictions: Float[Tensor, "*shape"],
    targets: Float[Tensor, "*shape"],
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*loss"]:
    """Poisson negative log likelihood of counts: `rate - targets * log(rate)`.

    Args:
        predictions: the log rates, or the rates, of any shape.
        targets: counts, of the same shape.
        log_input: whether the predictions are log rates.
        full: whether to add Stirling's approximation of `log(targets!)`, where a target is above 1.
        eps: added to rates before their logarithm, at least 0.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: the shapes differ, `eps` is negative, or `reduction` is invalid.

    Equals `torch.nn.functional.poisson_nll_loss`.

    >>> poisson_nll(torch.tensor([0.0]), torch.tensor([2.0]))
    tensor(1.)
    """
    if not eps >= 0:
        raise ValueError(f"poisson_nll: expected eps >= 0, got {eps}")
    check_shapes("poisson_nll", predictions.shape, targets=targets)
    rates, logarithms = (predictions.exp(), predictions) if log_input else (predictions, (predictions + eps).log())
    each = rates - targets * logarithms
    if full:
        large = torch.where(targets > 1, targets, 2.0)  # the derivative of log(0) would be NaN
        stirling = large * large.log() - large + 0.5 * (2 * math.pi * large).log()
        each = each + torch.where(targets > 1, stirling, 0)
    return reduce(each, reduction)


def gaussian_nll(
    predictions: Float[Tensor, "*shape"],
    targets: Float[Tensor, "*shape"],
    variances: Float[Tensor, "*variance_shape"] | float,
    *,
    full: bool = False,
    eps: float = 1e-6,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*loss"]:
    """Gaussian negative log likelihood: `(log(variance) + (prediction - target)**2 / variance) / 2`.

    Args:
        predictions: the means, of any shape.
        targets: a tensor of the same shape.
        variances: a tensor of the same shape; or with a last dimension of 1, or without it, for one variance along it;
            or a number.
        full: whether to add `log(2 * pi) / 2`.
        eps: the smallest variance, positive. Clamped variances keep their derivative, so that they can grow again.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: the targets or the variances have another shape, a number as variance is negative, `eps` is not
            positive, or `reduction` is invalid.

    Source: Nix and Weigend, "Estimating the mean and variance of the target probability distribution", 1994. Equals
    `torch.nn.functional.gaussian_nll_loss`, which checks for negative variances, and so supports neither `jit` nor
    `vmap`.

    >>> gaussian_nll(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]), torch.tensor([1.0, 1.0]), reduction="none")
    tensor([0., 2.])
    """
    if not eps > 0:
        raise ValueError(f"gaussian_nll: expected eps > 0, got {eps}")
    check_shapes("gaussian_nll", predictions.shape, targets=targets)
    if not isinstance(variances, Tensor):
        if variances < 0:
            raise ValueError(f"gaussian_nll: expected variances >= 0, got {variances}")
        variances = torch.full_like(predictions, variances)
    elif variances.ndim < predictions.ndim and variances.shape == predictions.shape[:-1]:
        variances = variances.unsqueeze(-1)
    elif variances.shape not in (predictions.shape, (*predictions.shape[:-1], 1)):
        raise ValueError(
            f"gaussian_nll: expected variances of shape {tuple(predictions.shape)}, as the predictions, "
            f"{(*predictions.shape[:-1], 1)} or {tuple(predictions.shape[:-1])}, got {tuple(variances.shape)}"
        )
    variances = torch.where(variances < eps, eps + variances - variances.detach(), variances)
    each = 0.5 * (variances.log() + (predictions - targets) ** 2 / variances)
    return reduce(each + 0.5 * math.log(2 * math.pi) if full else each, reduction)


def _weighted(each: Tensor, weight: Tensor | None, reduction: Reduction) -> Tensor:
    if weight is None:
        return reduce(each, reduction)
    total = each * weight
    return total.sum() / weight.sum() if reduction == "mean" else reduce(total, reduction)
