"""The `Metric` contract, and means over the samples of a data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from funcdl import tree
from funcdl.function_bundle import FunctionBundle
from funcdl.tree import Tree


@dataclass(frozen=True, repr=False)
class Metric(FunctionBundle):
    """A measure of a data set: sums over its samples, and a function of these sums.

    Attributes:
        accumulate: `accumulate(outputs, targets, weights) -> statistics`: the sums over one batch, a tree of tensors.
            The statistics of a data set are the sums of those of its batches. `weights` has shape (batch,); a sample
            of weight zero, such as the padding of a last batch, has no effect, whatever its values.
        compute: `compute(statistics) -> value`, for most metrics a 0-dim tensor.

    `metric(outputs, targets)` is its value for one batch, with weights of one.
    """

    accumulate: Callable[[Tree, Tree, Float[Tensor, " batch"]], Tree]
    compute: Callable[[Tree], Float[Tensor, "*value"]]

    def __call__(self, outputs: Tree, targets: Tree) -> Float[Tensor, "*value"]:
        """Returns the value for one batch."""
        first = tree.leaves(outputs)[0]
        return self.compute(self.accumulate(outputs, targets, torch.ones(first.shape[0], device=first.device)))


def sample_mean(values: Callable[[Tree, Tree], Float[Tensor, " batch *rest"]]) -> Metric:
    """Makes the metric that is the mean over samples of any `values(outputs, targets)`.

    Args:
        values: returns a value for each sample, (batch,); or several, (batch, ...), of which it takes the mean.

    Sums are in float64, so that they do not depend on the division of the data set into batches. For the mean of a
    loss there is `mean_loss`.

    >>> import torch
    >>> largest = sample_mean(lambda outputs, targets: outputs.amax(-1))
    >>> largest(torch.tensor([[1.0, 2.0], [5.0, 4.0]]), torch.zeros(2))
    tensor(3.5000)
    """

    def accumulate(outputs: Tree, targets: Tree, weights: Tensor) -> dict[str, Tensor]:
        each = values(outputs, targets).double()
        each = each.flatten(1).mean(1) if each.ndim > 1 else each
        weights = weights.double()
        # not `weights * each`: zero times NaN or infinity in a padding row is NaN
        return {"total": torch.where(weights == 0, 0, weights * each).sum(), "weight": weights.sum()}

    def compute(statistics: dict[str, Tensor]) -> Tensor:
        return (statistics["total"] / statistics["weight"]).to(torch.get_default_dtype())

    return Metric(accumulate, compute)


def mean_loss(loss: Callable[..., Tensor]) -> Metric:
    """Makes the metric that is the mean over samples of a loss: `sample_mean` of the loss with `reduction="none"`.

    Args:
        loss: a function with the arguments of those in `funcdl.losses`.

    All samples have equal weight: class weights and `ignore_index` change a sample's loss but not the divisor, unlike
    in the loss's own `reduction="mean"`.

    >>> import torch
    >>> from funcdl import losses
    >>> mean_loss(losses.mse)(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [4.0]]))
    tensor(2.)
    """
    return sample_mean(lambda outputs, targets: loss(outputs, targets, reduction="none"))
