"""Losses of class labels and of distributions over classes."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from funcdl.context import in_graph
from funcdl.losses.reduction import Reduction, check_reduction, check_shapes, reduce


def nll(
    log_probabilities: Float[Tensor, "*batch_classes_positions"],
    targets: Int[Tensor, "*batch_positions"],
    *,
    weight: Float[Tensor, " classes"] | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*loss"]:
    """Negative log likelihood: `-weight[target] * log_probabilities[target]`.

    Args:
        log_probabilities: (batch, classes), or (classes,) for one sample, or (batch, classes, d1, d2, ...).
        targets: class numbers, (batch,), (), or (batch, d1, d2, ...).
        weight: the weight of each class; ones by default.
        ignore_index: targets of this number are ignored.
        reduction: "mean" divides the sum by the weights of the targets, without ignored ones; it is NaN if all are
            ignored.

    Raises:
        ValueError: inconsistent shapes, or `reduction` is invalid.
        IndexError: a class number is out of range, and is not `ignore_index`. Inside `jit` it is a RuntimeError on the
            CPU if the loss is used; a gradient without the loss is NaN. On a GPU torch aborts the process.

    Equals `torch.nn.functional.nll_loss`.

    >>> nll(torch.tensor([[0.25, 0.75], [0.5, 0.5]]).log(), torch.tensor([1, 0]))
    tensor(0.4904)
    """
    check_reduction(reduction)
    _check_targets("nll", log_probabilities, targets, weight)
    log_probabilities = _nan_where_invalid(log_probabilities, targets, ignore_index)
    return F.nll_loss(log_probabilities, targets, weight, ignore_index=ignore_index, reduction=reduction)


def cross_entropy(
    logits: Float[Tensor, "*batch_classes_positions"],
    targets: Int[Tensor, "*batch_positions"] | Float[Tensor, "*batch_classes_positions"],
    *,
    weight: Float[Tensor, " classes"] | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Float[Tensor, "*loss"]:
    """Cross entropy of the distribution `softmax(logits)` with the targets: `nll(log_softmax(logits), targets)`.

    Args:
        logits: (batch, classes), or (classes,) for one sample, or (batch, classes, d1, d2, ...).
        targets: class numbers as for `nll`, or probabilities of all classes, in the shape and dtype of `logits`.
        weight: the weight of each class; ones by default.
        ignore_index: class numbers that are ignored; unused for probabilities.
        reduction: "mean" divides the sum by the weights of the class numbers, without ignored ones, or, for
            probabilities, by the number of samples.
        label_smoothing: from 0 to 1: the share of the uniform distribution mixed into the targets.

    Raises:
        ValueError: `label_smoothing` is not from 0 to 1; or as in `nll`.
        IndexError: as in `nll`.

    Equals `torch.nn.functional.cross_entropy`.

    >>> cross_entropy(torch.zeros(3, 10), torch.tensor([1, 0, 7]))
    tensor(2.3026)
    """
    if not isinstance(label_smoothing, (int, float, Tensor)) or not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: expected a label_smoothing from 0 to 1, got {label_smoothing}")
    check_reduction(reduction)
    if not targets.is_floating_point():
        _check_targets("cross_entropy", logits, targets, weight)
        logits = _nan_where_invalid(logits, targets, ignore_index)
    else:
        check_shapes("cross_entropy", logits.shape, targets=targets)
    if label_smoothing and not targets.is_floating_point():
        return _smoothed_cross_entropy(logits, targets, weight, ignore_index, reduction, label_smoothing)
    return F.cross_entropy(
        logits, targets, weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )


def kl_divergence(
    log_probabilities: Float[Tensor, "*shape"],
    targets: Float[Tensor, "*shape"],
    *,
    reduction: Reduction | Literal["batchmean"] = "mean",
    log_target: bool = False,
) -> Float[Tensor, "*loss"]:
    """Kullback-Leibler divergence of the targets from the predictions: `targets * (log(targets) - log_probabilities)`.

    Args:
        log_probabilities: a tensor of any shape, with the distributions along one of the dimensions.
        targets: probabilities, or with `log_target` their logarithms, of the same shape.
        reduction: "batchmean" divides the sum by the number of samples, as the divergence is defined; "mean", the
            default as in torch, divides it by the number of elements.
        log_target: whether the targets are logarithms.

    Raises:
        ValueError: the shapes differ, or `reduction` is invalid.

    Equals `torch.nn.functional.kl_div`, without its warning about "mean".

    >>> kl_divergence(torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]), reduction="batchmean")
    tensor(0.1308)
    """
    check_shapes("kl_divergence", log_probabilities.shape, targets=targets)
    if log_target:
        each = targets.exp() * (targets - log_probabilities)
    else:
        each = torch.xlogy(targets, targets) - targets * log_probabilities
    return each.sum() / each.shape[0] if reduction == "batchmean" else reduce(each, reduction)


def _check_targets(loss: str, outputs: Tensor, targets: Tensor, weight: Tensor | None) -> None:
    class_dim = min(1, outputs.ndim - 1)
    if outputs.ndim == 0:
        raise ValueError(f"{loss}: expected (batch, classes, ...) or (classes,), got shape ()")
    check_shapes(loss, (*outputs.shape[:class_dim], *outputs.shape[class_dim + 1 :]), targets=targets)
    check_shapes(loss, (outputs.shape[class_dim],), weight=weight)


def _nan_where_invalid(outputs: Tensor, targets: Tensor, ignore_index: int) -> Tensor:
    """Replaces outputs with NaN where the target is not a class; compilers drop torch's check if the loss is unused."""
    if not in_graph():
        return outputs
    class_dim = min(1, outputs.ndim - 1)
    valid = (targets >= 0) & (targets < outputs.shape[class_dim]) | (targets == ignore_index)
    return outputs * torch.where(valid, 1.0, torch.nan).to(outputs.dtype).unsqueeze(class_dim)


def _smoothed_cross_entropy(
    logits: Tensor, targets: Tensor, weight: Tensor | None, ignore_index: int, reduction: Reduction, smoothing: float
) -> Tensor:
    """Cross entropy with label smoothing: torch's operator does not support `vmap` for class numbers."""
    class_dim = min(1, logits.ndim - 1)
    log_probabilities = F.log_softmax(logits, class_dim)
    hard = nll(log_probabilities, targets, weight=weight, ignore_index=ignore_index, reduction="none")
    by_class = log_probabilities.movedim(class_dim, -1)
    uniform = -(by_class if weight is None else by_class * weight).mean(-1)
    each = (1 - smoothing) * hard + smoothing * torch.where(targets == ignore_index, 0, uniform)
    if reduction != "mean":
        return reduce(each, reduction)
    ones = torch.ones_like(logits)  # their loss is minus the sum of weights
    return each.sum() / -nll(ones, targets, weight=weight, ignore_index=ignore_index, reduction="sum")
