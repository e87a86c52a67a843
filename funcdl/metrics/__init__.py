"""Metrics: measures of a data set, accumulated batch by batch.

>>> import torch
>>> from funcdl import losses, metrics, tree
>>> outputs, targets, weights = torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([1, 1]), torch.tensor([1.0, 1.0])
>>> first = metrics.accuracy.accumulate(outputs, targets, weights)
>>> second = metrics.accuracy.accumulate(outputs, targets, torch.tensor([1.0, 0.0]))  # the second row is padding
>>> metrics.accuracy.compute(tree.map(torch.add, first, second))
tensor(0.6667)
"""

from funcdl.metrics.classification import (
    accuracy,
    binary_accuracy,
    confusion_matrix,
    f1,
    perplexity,
    precision,
    recall,
    top_k,
)
from funcdl.metrics.metric import Metric, mean_loss, sample_mean
from funcdl.metrics.regression import mean_absolute_error, mean_squared_error, r2

__all__ = [
    "Metric",
    "accuracy",
    "binary_accuracy",
    "confusion_matrix",
    "f1",
    "mean_absolute_error",
    "mean_loss",
    "mean_squared_error",
    "perplexity",
    "precision",
    "r2",
    "recall",
    "sample_mean",
    "top_k",
]
