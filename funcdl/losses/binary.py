"""Losses of binary and multilabel classification."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from funcdl.losses.reduction import Reduction, check_broadcasts, check_shapes, reduce


def binary_cross_entropy(
    probabilities: Float[Tensor, "*shape"],
    targets: Float[Tensor, "*shape"],
    *,
    weight: Float[Tensor, "*shape"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*loss"]:
    """Cross entropy of predicted probabilities: `-(targets * log(p) + (1 - targets) * log(1 - p))`.

    Args:
        probabilities: p, from 0 to 1, of any shape. `binary_cross_entropy_with_logits` is more accurate.
        targets: from 0 to 1, of the same shape.
        weight: the weight of each element, broadcast; ones by default.
        reduction: "mean" divides the sum by the number of elements, whatever their weights.

    Logarithms are clamped to at least -100.

    Raises:
        ValueError: the shapes differ, the weight cannot be broadcast, or `reduction` is invalid.
        RuntimeError: on the CPU, uncompiled, when a probability is not in [0, 1].

    Equals `torch.nn.functional.binary_cross_entropy`.

    >>> binary_cross_entropy(torch.tensor([0.5, 0.25]), torch.tensor([1.0, 0.0]))
    tensor(0.4904)
    """
    check_shapes("binary_cross_entropy", probabilities.shape, targets=targets)
    check_broadcasts("binary_cross_entropy", probabilities.shape, weight=weight)
    return reduce(F.binary_cross_entropy(probabilities, targets, weight, reduction="none"), reduction)


def binary_cross_entropy_with_logits(
    logits: Float[Tensor, "*shape"],
    targets: Float[Tensor, "*shape"],
    *,
    weight: Float[Tensor, "*shape"] | None = None,
    reduction: Reduction = "mean",
    pos_weight: Float[Tensor, " classes"] | None = None,
) -> Float[Tensor, "*loss"]:
    """Cross entropy of probabilities `sigmoid(logits)`.

    Args:
        logits: a tensor of any shape.
        targets, weight, reduction: as for `binary_cross_entropy`.
        pos_weight: the weight of positive targets, broadcast; above 1 it favors recall.

    Raises:
        ValueError: as in `binary_cross_entropy`.

    Equals `torch.nn.functional.binary_cross_entropy_with_logits`.

    >>> binary_cross_entropy_with_logits(torch.zeros(2), torch.tensor([1.0, 0.0]))
    tensor(0.6931)
    """
    check_shapes("binary_cross_entropy_with_logits", logits.shape, targets=targets)
    check_broadcasts("binary_cross_entropy_with_logits", logits.shape, weight=weight, pos_weight=pos_weight)
    if pos_weight is None:
        return reduce(F.binary_cross_entropy_with_logits(logits, targets, weight, reduction="none"), reduction)
    # As torch, but not in place, which fails for a forward-mode derivative of the gradient.
    each = (1 - targets) * logits - ((pos_weight - 1) * targets + 1) * F.logsigmoid(logits)
    return reduce(each if weight is None else each * weight, reduction)


def soft_margin(
    scores: Float[Tensor, "*shape"], targets: Float[Tensor, "*shape"], *, reduction: Reduction = "mean"
) -> Float[Tensor, "*loss"]:
    """Logistic loss of the targets 1 and -1: `log(1 + exp(-targets * scores))`.

    Args:
        scores: a tensor of any shape.
        targets: 1 or -1, of the same shape.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: the shapes differ, or `reduction` is invalid.

    Equals `torch.nn.functional.soft_margin_loss`, and stays finite where that overflows.

    >>> soft_margin(torch.tensor([0.0, 200.0]), torch.tensor([1.0, -1.0]), reduction="none")
    tensor([  0.6931, 200.0000])
    """
    check_shapes("soft_margin", scores.shape, targets=targets)
    return reduce(
        F.softplus(-targets * scores, threshold=40), reduction
    )  # above, softplus(x) is x within float64's eps


def multilabel_soft_margin(
    logits: Float[Tensor, "*batch classes"],
    targets: Float[Tensor, "*batch classes"],
    *,
    weight: Float[Tensor, " classes"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*loss"]:
    """The mean over classes of `binary_cross_entropy_with_logits`.

    Args:
        logits: (batch, classes) or (classes,).
        targets: 0 or 1, of the same shape.
        weight: the weight of each class; ones by default.
        reduction: over the samples: "mean", "sum" or "none".

    Raises:
        ValueError: the shapes differ, or `reduction` is invalid.

    Equals `torch.nn.functional.multilabel_soft_margin_loss`.

    >>> multilabel_soft_margin(torch.zeros(2, 3), torch.ones(2, 3), reduction="none")
    tensor([0.6931, 0.6931])
    """
    check_shapes("multilabel_soft_margin", logits.shape, targets=targets)
    check_broadcasts("multilabel_soft_margin", logits.shape, weight=weight)
    return reduce(F.multilabel_soft_margin_loss(logits, targets, weight, reduction="none"), reduction)


def multilabel_margin(
    scores: Float[Tensor, "*batch classes"], targets: Int[Tensor, "*batch classes"], *, reduction: Reduction = "mean"
) -> Float[Tensor, "*loss"]:
    """Hinge loss between every label of a sample and every other class.

    The sum over labels l and other classes k of `max(0, 1 - scores[l] + scores[k])`, divided by the number of classes.

    Args:
        scores: (batch, classes) or (classes,).
        targets: a tensor of the same shape: the class numbers of each sample's labels, then -1; what follows is
            ignored.
        reduction: over the samples: "mean", "sum" or "none".

    Raises:
        ValueError: the shapes differ.

    Equals `torch.nn.functional.multilabel_margin_loss` by plain operations, which support `vmap`, on all pairs of
    a label and a class: trim columns of `targets` that are -1 in every row.

    >>> multilabel_margin(torch.tensor([0.1, 0.2, 0.4, 0.8]), torch.tensor([3, 0, -1, 1]))
    tensor(0.8500)
    """
    if scores.shape != targets.shape:
        raise ValueError(
            f"multilabel_margin: expected targets of shape {tuple(scores.shape)}, as the scores, got "
            f"{tuple(targets.shape)}; pad the rows with -1"
        )
    is_label = (targets >= 0).int().cumprod(-1).bool()
    label_scores = scores.gather(-1, targets.clamp(min=0))
    classes = torch.arange(scores.shape[-1], device=scores.device)
    absent = ~((targets.unsqueeze(-1) == classes) & is_label.unsqueeze(-1)).any(-2)
    gaps = F.relu(1 - label_scores.unsqueeze(-1) + scores.unsqueeze(-2))  # (..., label, class)
    pairs = is_label.unsqueeze(-1) & absent.unsqueeze(-2)
    return reduce(torch.where(pairs, gaps, 0).sum((-2, -1)) / scores.shape[-1], reduction)
