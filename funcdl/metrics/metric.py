"""The contract of metrics, and the average of something over a data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from funcdl import tree
from funcdl.closures import OfFunctions
from funcdl.tree import Tree


@dataclass(frozen=True, repr=False)
class Metric(OfFunctions):
    """A measure of a data set, as sums over its samples and a function of these sums.

    Attributes:
        accumulate: `accumulate(outputs, targets, weights) -> statistics`: the sums over one batch, a tree of tensors.
            The statistics of a data set are the sums of those of its batches. `weights` has shape (batch,); a sample
            of weight zero, such as the padding of a last batch, leaves no trace, whatever its values.
        compute: `compute(statistics) -> value`, for most metrics a 0-dim tensor.

    Calling `metric(outputs, targets)` measures one batch with weights of one.
    """

    accumulate: Callable[[Tree, Tree, Float[Tensor, " batch"]], Tree]
    compute: Callable[[Tree], Float[Tensor, "*value"]]

    def __call__(self, outputs: Tree, targets: Tree) -> Float[Tensor, "*value"]:
        """Returns the value for one batch."""
        first = tree.leaves(outputs)[0]
        return self.compute(self.accumulate(outputs, targets, torch.ones(first.shape[0], device=first.device)))


def sample_mean(values: Callable[[Tree, Tree], Float[Tensor, " batch *rest"]]) -> Metric:
    """Makes the metric that averages `values(outputs, targets)`, numbers for each sample, over the data set.

    A sample with several numbers, of shape (batch, ...), counts as their average. The sums are kept in float64, so
    that they do not depend on how the data set is cut into batches.

    >>> import torch
    >>> largest = sample_mean(lambda outputs, targets: outputs.amax(-1))
    >>> import torch
    >>> largest(torch.tensor([[1.0, 2.0], [5.0, 4.0]]), torch.zeros(2))
    tensor(3.5000)
    """

    def accumulate(outputs: Tree, targets: Tree, weights: Tensor) -> dict[str, Tensor]:
        each = values(outputs, targets).double()
        each = each.flatten(1).mean(1) if each.ndim > 1 else each
        weights = weights.double()
        # not `weights * each`: zero times the NaN or infinity of a padding row is NaN
        return {"total": torch.where(weights == 0, 0, weights * each).sum(), "weight": weights.sum()}

    def compute(statistics: dict[str, Tensor]) -> Tensor:
        return (statistics["total"] / statistics["weight"]).to(torch.get_default_dtype())

    return Metric(accumulate, compute)


def mean_loss(loss: Callable[..., Tensor]) -> Metric:
    """Makes a metric of a loss: its average over the samples of the data set.

    Args:
        loss: a function with the arguments of those in `funcdl.losses`; it is called with `reduction="none"`.

    Samples count alike: class weights and `ignore_index` change a sample's loss but not its share, whereas they change
    the divisor of the loss's own `reduction="mean"`.

    >>> import torch
    >>> from funcdl import losses
    >>> mean_loss(losses.mse)(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [4.0]]))
    tensor(2.)
    """
    return sample_mean(lambda outputs, targets: loss(outputs, targets, reduction="none"))
