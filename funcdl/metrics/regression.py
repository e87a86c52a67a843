"""Metrics of predicted numbers."""

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
"""The average of `|output - target|` over the data set; outputs and targets of one shape, (batch, ...)."""

mean_squared_error: Metric = sample_mean(_squared_difference)
"""The average of `(output - target) ** 2` over the data set; outputs and targets of one shape, (batch, ...)."""


def _r2_sums(outputs: Tensor, targets: Tensor, weights: Tensor) -> dict[str, Tensor]:
    residuals = _difference(outputs, targets)
    share = weights.double().view(-1, *[1] * (targets.ndim - 1))
    real = targets.double()

    def total(values: Tensor) -> Tensor:
        return torch.where(share == 0, 0, share * values).sum(0)  # zero times the NaN of a padding row is NaN

    return {
        "weight": share.sum(),
        "targets": total(real),
        "squared_targets": total(real**2),
        "squared_residuals": total(residuals**2),
    }


def _r2_value(statistics: dict[str, Tensor]) -> Tensor:
    spread = statistics["squared_targets"] - statistics["targets"] ** 2 / statistics["weight"]
    unexplained = statistics["squared_residuals"]
    of_constants = (unexplained == 0).double()
    value = torch.where(spread > 0, 1 - unexplained / torch.where(spread > 0, spread, 1), of_constants)
    return value.mean().to(torch.get_default_dtype())


r2: Metric = Metric(_r2_sums, _r2_value)
"""The coefficient of determination: 1 minus the sum of squared residuals over that of the targets' deviations.

Outputs and targets of one shape, (batch,) or (batch, numbers); each number has a coefficient, and the value is their
mean. Of targets that are all equal it is 1 if they are met exactly, and else 0. As `sklearn.metrics.r2_score`; since
sums of squares are added up batch by batch, targets should not be far from zero compared with their spread (1e6 times).
"""
