"""Margin losses: of rankings, distances and embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from funcdl.losses.reduction import Reduction, check_shapes, reduce


def multi_margin(
    scores: Float[Tensor, "*batch classes"],
    targets: Int[Tensor, "*batch"],
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: Float[Tensor, " classes"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*loss"]:
    """Hinge loss of classes: `max(0, margin - scores[target] + scores[k]) ** p`, summed over the other classes k.

    Args:
        scores: (batch, classes) or (classes,).
        targets: class numbers, (batch,) or ().
        p: 1 or 2.
        margin: the required difference of the target's score to the others.
        weight: the weight of each target class; ones by default.
        reduction: over the samples: "mean", "sum" or "none".

    The sum is divided by the number of classes.

    Raises:
        ValueError: `p` is neither 1 nor 2, inconsistent shapes, or `reduction` is invalid.

    Equals `torch.nn.functional.multi_margin_loss`.

    >>> multi_margin(torch.tensor([[0.1, 0.2, 0.4, 0.8]]), torch.tensor([3]))
    tensor(0.3250)
    """
    if p not in (1, 2):
        raise ValueError(f"multi_margin: expected p of 1 or 2, got {p}")
    check_shapes("multi_margin", scores.shape[:-1], targets=targets)
    check_shapes("multi_margin", scores.shape[-1:], weight=weight)
    index = targets.unsqueeze(-1)
    gaps = F.relu(margin - scores.gather(-1, index) + scores) ** p
    if weight is not None:
        gaps = gaps * weight[index]
    others = torch.arange(scores.shape[-1], device=scores.device) != index
    return reduce(torch.where(others, gaps, 0).sum(-1) / scores.shape[-1], reduction)


def hinge_embedding(
    distances: Float[Tensor, "*shape"],
    targets: Float[Tensor, "*shape"],
    *,
    margin: float = 1.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*loss"]:
    """The distance of similar pairs, and `max(0, margin - distance)` of dissimilar pairs.

    Args:
        distances: a tensor of any shape.
        targets: 1 for similar pairs, -1 for dissimilar pairs, of the same shape.
        margin: the distance at which dissimilar pairs have no loss.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: the shapes differ, or `reduction` is invalid.

    Equals `torch.nn.functional.hinge_embedding_loss`.

    >>> hinge_embedding(torch.tensor([0.3, 0.3]), torch.tensor([1.0, -1.0]), reduction="none")
    tensor([0.3000, 0.7000])
    """
    check_shapes("hinge_embedding", distances.shape, targets=targets)
    return reduce(F.hinge_embedding_loss(distances, targets, margin=margin, reduction="none"), reduction)


def margin_ranking(
    first: Float[Tensor, "*shape"],
    second: Float[Tensor, "*shape"],
    targets: Float[Tensor, "*shape"],
    *,
    margin: float = 0.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*loss"]:
    """Hinge loss of the ranking of two scores: `max(0, margin - targets * (first - second))`.

    Args:
        first, second: scores, of any shape.
        targets: 1 where the first should be the higher one, -1 where the second, of the same shape.
        margin: the required difference.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: the shapes differ, or `reduction` is invalid.

    Equals `torch.nn.functional.margin_ranking_loss`.

    >>> margin_ranking(torch.tensor([1.0, 1.0]), torch.tensor([3.0, 0.0]), torch.tensor([1.0, 1.0]))
    tensor(1.)
    """
    _check_three("margin_ranking", first, second, targets)
    return reduce((margin - targets * (first - second)).clamp_min(0), reduction)


def triplet_margin(
    anchor: Float[Tensor, "*batch features"],
    positive: Float[Tensor, "*batch features"],
    negative: Float[Tensor, "*batch features"],
    *,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*loss"]:
    """Hinge loss of the distances in triplets: `max(0, |anchor - positive| - |anchor - negative| + margin)`.

    Args:
        anchor: (..., features).
        positive: similar to the anchor, of the same shape.
        negative: dissimilar to it, of the same shape.
        margin: the required difference of the distances, positive.
        p: the degree of the norm, positive.
        eps: added to differences, so that a distance of zero has a derivative; at least 0.
        swap: whether to use the distance of positive and negative instead, where it is smaller.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: the shapes differ, an argument is out of its range, or `reduction` is invalid.

    Source: Balntas et al., "Learning shallow convolutional feature descriptors with triplet losses", 2016. Equals
    `torch.nn.functional.triplet_margin_loss`.

    >>> triplet_margin(torch.tensor([[0.0]]), torch.tensor([[2.0]]), torch.tensor([[1.5]]))
    tensor(1.5000)
    """
    if not margin > 0:
        raise ValueError(f"triplet_margin: expected margin > 0, got {margin}")
    if not (p > 0 and eps >= 0):
        raise ValueError(f"triplet_margin: expected p > 0 and eps >= 0, got {p} and {eps}")
    _check_three("triplet_margin", anchor, positive, negative)
    near = F.pairwise_distance(anchor, positive, p, eps)
    far = F.pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = torch.minimum(far, F.pairwise_distance(positive, negative, p, eps))
    return reduce((margin + near - far).clamp_min(0), reduction)


def cosine_embedding(
    first: Float[Tensor, "*batch features"],
    second: Float[Tensor, "*batch features"],
    targets: Float[Tensor, "*batch"],
    *,
    margin: float = 0.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*loss"]:
    """`1 - cosine` of similar pairs, and `max(0, cosine - margin)` of dissimilar pairs.

    Args:
        first, second: (batch, features) or (features,).
        targets: 1 for similar pairs, -1 for dissimilar pairs, (batch,) or ().
        margin: the cosine below which dissimilar pairs have no loss, from -1 to 1.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: inconsistent shapes, `margin` is not from -1 to 1, or `reduction` is invalid.

    Equals `torch.nn.functional.cosine_embedding_loss`.

    >>> cosine_embedding(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([1.0]))
    tensor(1.)
    """
    if not -1 <= margin <= 1:
        raise ValueError(f"cosine_embedding: expected a margin from -1 to 1, got {margin}")
    check_shapes("cosine_embedding", first.shape, second=second)
    check_shapes("cosine_embedding", first.shape[:-1], targets=targets)
    return reduce(F.cosine_embedding_loss(first, second, targets, margin=margin, reduction="none"), reduction)


def _check_three(loss: str, *tensors: Tensor) -> None:
    if len({tensor.shape for tensor in tensors}) > 1:
        shapes = " and ".join(str(tuple(tensor.shape)) for tensor in tensors)
        raise ValueError(f"{loss}: expected three tensors of one shape, got {shapes}")
