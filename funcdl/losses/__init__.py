"""Losses: functions `(outputs, targets) -> loss` of plain tensors, for `grad`, `vmap` and `jit`.

`reduction` is "mean" (the default), "sum", or "none" for the elementwise losses.

>>> import torch
>>> from funcdl import losses
>>> losses.mse(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]), reduction="none")
tensor([0., 4.])
"""

from funcdl.losses.binary import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    multilabel_margin,
    multilabel_soft_margin,
    soft_margin,
)
from funcdl.losses.classification import cross_entropy, kl_divergence, nll
from funcdl.losses.ctc import ctc
from funcdl.losses.ranking import cosine_embedding, hinge_embedding, margin_ranking, multi_margin, triplet_margin
from funcdl.losses.regression import gaussian_nll, huber, l1, mse, poisson_nll, smooth_l1

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding",
    "cross_entropy",
    "ctc",
    "gaussian_nll",
    "hinge_embedding",
    "huber",
    "kl_divergence",
    "l1",
    "margin_ranking",
    "mse",
    "multi_margin",
    "multilabel_margin",
    "multilabel_soft_margin",
    "nll",
    "poisson_nll",
    "smooth_l1",
    "soft_margin",
    "triplet_margin",
]
