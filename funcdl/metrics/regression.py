"""Metrics of regression."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from funcdl.metrics.metric import Metric, sample_mean


def _difference(outputs: Float[Tensor, " batch *rest"], targets: Float[Tensor, " batch *rest"]) -> Tensor:
    if outputs.shape != targets.shape:
        raise ValueError(
            f"expected outputs and targets of one shape, got {tuple(outputs.shape)} and {tuple(targets.shape)}; "
            "reshape one of them, for example targets.view_as(outputs)"
        )
    return outputs.double() - targets.double()


def _absolute_difference(outputs: Tensor, targets: Tensor) -> Tensor:
    return _difference(outputs, targets).abs()


def _squared_difference(outputs: Tensor, targets: Tensor) -> Tensor:
    return _difference(outputs, targets) ** 2


mean_absolute_error: Metric = sample_mean(_absolute_difference)
"""The average of `|output - target|` over the data set; outputs and targets have the same shape, (batch, ...)."""

mean_squared_error: Metric = sample_mean(_squared_difference)
"""The average of `(output - target) ** 2` over the data set; outputs and targets have the same shape, (batch, ...)."""


def _r2_sums(outputs: Tensor, targets: Tensor, weights: Tensor) -> dict[str, Tensor]:
    residuals = _difference(outputs, targets)
    weight = weights.double().view(-1, *[1] * (targets.ndim - 1))
    targets = targets.double()

    def total(values: Tensor) -> Tensor:
        return torch.where(weight == 0, 0, weight * values).sum(0)  # zero times the NaN of a padding row is NaN

    return {
        "weight": weight.sum(),
        "targets": total(targets),
        "squared_targets": total(targets**2),
        "squared_residuals": total(residuals**2),
    }


def _r2_value(statistics: dict[str, Tensor]) -> Tensor:
    spread = statistics["squared_targets"] - statistics["targets"] ** 2 / statistics["weight"]
    unexplained = statistics["squared_residuals"]
    for_constant_targets = (unexplained == 0).double()
    value = torch.where(spread > 0, 1 - unexplained / torch.where(spread > 0, spread, 1), for_constant_targets)
    return value.mean().to(torch.get_default_dtype())


r2: Metric = Metric(_r2_sums, _r2_value)
"""The coefficient of determination: 1 minus the sum of squared residuals over that of the targets' deviations.

Outputs and targets have the same shape, (batch,) or (batch, outputs); the value is the mean over the outputs. For
constant targets it is 1 if predictions are exact, else 0. As `sklearn.metrics.r2_score`; since it accumulates sums of
squares, the targets' mean should not exceed 1e6 times their standard deviation.
"""
