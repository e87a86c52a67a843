"""Metrics of classification."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from funcdl.metrics.metric import Metric, sample_mean

Average = Literal["macro", "micro", "weighted", "binary", "none"]
Ratio = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def _is_correct(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.argmax(1) == targets


accuracy: Metric = sample_mean(_is_correct)
"""The fraction of samples whose largest output, along dimension 1, is the target class.

Outputs (batch, classes) and targets (batch,), or (batch, classes, d1, ...) and (batch, d1, ...); scores, logits or
log-probabilities alike.
"""


def binary_accuracy(threshold: float = 0.0) -> Metric:
    """Makes the metric of the fraction of correct binary predictions.

    Args:
        threshold: outputs above it are predicted positive: 0 for logits, 0.5 for probabilities.

    Outputs and targets have the same shape, (batch, ...); targets are 1 or 0.

    >>> import torch
    >>> binary_accuracy()(torch.tensor([[2.0], [-1.0], [0.5]]), torch.tensor([[1.0], [0.0], [0.0]]))
    tensor(0.6667)
    """
    return sample_mean(lambda outputs, targets: (outputs > threshold) == (targets > 0.5))


def top_k(k: int) -> Metric:
    """Makes the metric of the fraction of samples whose target class is among their `k` largest outputs.

    Args:
        k: at least 1, at most the number of classes.

    Outputs and targets are as for `accuracy`, which is `top_k(1)`.

    Raises:
        ValueError: `k` is less than 1; or when called, more than the number of classes.

    Source: `sklearn.metrics.top_k_accuracy_score`, which breaks ties differently.

    >>> import torch
    >>> top_k(2)(torch.tensor([[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]]), torch.tensor([1, 0]))
    tensor(0.5000)
    """
    if k < 1:
        raise ValueError(f"top_k: expected k >= 1, got {k}")

    def hits(
        outputs: Float[Tensor, " batch classes *rest"], targets: Int[Tensor, " batch *rest"]
    ) -> Bool[Tensor, " batch *rest"]:
        if k > outputs.shape[1]:
            raise ValueError(f"top_k({k}): expected at least {k} classes, got outputs of shape {tuple(outputs.shape)}")
        return (outputs.topk(k, 1).indices == targets.unsqueeze(1)).any(1)

    return sample_mean(hits)


def confusion_matrix(classes: int) -> Metric:
    """Makes the metric that counts the samples of class i (row) for which class j (column) is predicted.

    Args:
        classes: the number of classes.

    Outputs and targets are as for `accuracy`, and every position is counted. Outputs of the shape of the targets are
    predicted classes if integers, and logits of class 1 against class 0 if floating: positive means 1. Targets outside
    0 to `classes - 1`, such as -100, are ignored.

    Returns:
        A metric whose value is a (classes, classes) matrix in torch's default dtype; a sample adds its weight.

    Source: `sklearn.metrics.confusion_matrix`.

    >>> confusion_matrix(2)(torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([1, 1, 0]))
    tensor([[0., 1.],
            [1., 1.]])
    """

    def compute(statistics: dict[str, Tensor]) -> Float[Tensor, "classes classes"]:
        return statistics["counts"].to(torch.get_default_dtype())

    return Metric(_counts(classes), compute)


def precision(classes: int, *, average: Average = "macro") -> Metric:
    """Makes the metric of precision: the fraction of true positives among predictions of a class.

    Args:
        classes: the number of classes.
        average: over the classes: "macro", their mean, without classes that neither occur nor are predicted;
            "weighted", by how often each occurs; "micro", of the counts of all classes; "binary", class 1 only; or
            "none", a vector.

    Outputs and targets are as for `confusion_matrix`. The precision of a class that is never predicted is 0.

    Raises:
        ValueError: `average` is invalid, or "binary" with other than two classes.

    Source: `sklearn.metrics.precision_score`.

    >>> outputs, targets = torch.tensor([1.0, 2.0, -1.0, 3.0]), torch.tensor([1, 0, 1, 1])
    >>> precision(2, average="binary")(outputs, targets)
    tensor(0.6667)
    """
    return _averaged("precision", classes, average, lambda hits, occurring, predicted: (hits, predicted))


def recall(classes: int, *, average: Average = "macro") -> Metric:
    """Makes the metric of recall: the fraction of true positives among the samples of a class.

    Args:
        classes, average: as for `precision`.

    Raises:
        ValueError: as for `precision`.

    Source: `sklearn.metrics.recall_score`.

    >>> recall(2, average="none")(torch.tensor([1.0, 2.0, -1.0, 3.0]), torch.tensor([1, 0, 1, 1]))
    tensor([0.0000, 0.6667])
    """
    return _averaged("recall", classes, average, lambda hits, occurring, predicted: (hits, occurring))


def f1(classes: int, *, average: Average = "macro") -> Metric:
    """Makes the metric of F1, the harmonic mean of precision and recall: `2 * hits / (occurring + predicted)`.

    Args:
        classes, average: as for `precision`.

    Raises:
        ValueError: as for `precision`.

    Source: `sklearn.metrics.f1_score`.

    >>> f1(2, average="binary")(torch.tensor([1.0, 2.0, -1.0, 3.0]), torch.tensor([1, 0, 1, 1]))
    tensor(0.6667)
    """
    return _averaged("f1", classes, average, lambda hits, occurring, predicted: (2 * hits, occurring + predicted))


def perplexity(*, ignore_index: int = -100) -> Metric:
    """Makes the metric of perplexity: the exponential of the mean cross entropy over all targets of the data set.

    Args:
        ignore_index: targets of this number, such as padding, are ignored.

    Outputs are logits or log-probabilities, (batch, classes) or (batch, classes, positions), targets class numbers,
    (batch,) or (batch, positions). Uniform guesses among n classes have perplexity n.

    >>> perplexity()(torch.zeros(1, 7, 3), torch.tensor([[4, 2, -100]]))
    tensor(7.)
    """

    def accumulate(outputs: Tensor, targets: Tensor, weights: Tensor) -> dict[str, Tensor]:
        each = F.cross_entropy(outputs.double(), targets, ignore_index=ignore_index, reduction="none")
        weight = _target_weights(weights, targets) * (targets != ignore_index)
        return {"total": torch.where(weight == 0, 0, weight * each).sum(), "weight": weight.sum()}

    def compute(statistics: dict[str, Tensor]) -> Tensor:
        return (statistics["total"] / statistics["weight"]).exp().to(torch.get_default_dtype())

    return Metric(accumulate, compute)


def _averaged(name: str, classes: int, average: Average, ratio: Ratio) -> Metric:
    """The metric of a ratio of counts for each class, averaged over the classes."""
    if average not in ("macro", "micro", "weighted", "binary", "none"):
        raise ValueError(f"{name}: expected an average of macro, micro, weighted, binary or none, got {average!r}")
    if average == "binary" and classes != 2:
        raise ValueError(f"{name}: expected 2 classes for average='binary', got {classes}; choose another average")

    def compute(statistics: dict[str, Tensor]) -> Tensor:
        counts = statistics["counts"]
        hits, occurring, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
        numerator, denominator = ratio(hits, occurring, predicted)
        if average == "micro":
            numerator, denominator = numerator.sum(), denominator.sum()
        value = torch.where(denominator == 0, 0, numerator / torch.where(denominator == 0, 1, denominator))
        if average == "binary":
            value = value[1]
        elif average in ("macro", "weighted"):
            weight = occurring if average == "weighted" else (occurring + predicted > 0).double()
            value = (value * weight).sum() / weight.sum()
        return value.to(torch.get_default_dtype())

    return Metric(_counts(classes), compute)


def _counts(classes: int) -> Callable[[Tensor, Tensor, Tensor], dict[str, Tensor]]:
    """The `accumulate` that fills a confusion matrix, in float64."""

    def accumulate(outputs: Tensor, targets: Tensor, weights: Tensor) -> dict[str, Tensor]:
        if outputs.ndim > targets.ndim:
            predicted = outputs.argmax(1)
        else:
            predicted = (outputs > 0).long() if outputs.is_floating_point() else outputs.long()
        weight = _target_weights(weights, targets)
        is_class = (targets >= 0) & (targets < classes)
        cell = (targets * classes + predicted).flatten()
        counts = torch.zeros(classes * classes, dtype=torch.float64, device=outputs.device)
        counts = counts.index_add(0, torch.where(is_class.flatten(), cell, 0), (weight * is_class).flatten())
        return {"counts": counts.view(classes, classes)}

    return accumulate


def _target_weights(weights: Tensor, targets: Tensor) -> Tensor:
    """Each sample's weight for each of its targets, in float64."""
    return weights.double().view(-1, *[1] * (targets.ndim - 1)).expand(targets.shape)
