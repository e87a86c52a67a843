"""Layers that only rearrange."""

from __future__ import annotations

import torch

from funcdl.nn.layer import Layer, stateless


def flatten(start_dim: int = 1, end_dim: int = -1) -> Layer:
    """Joins the dimensions from `start_dim` to `end_dim` into one; all but the batch by default.

    Equals `torch.nn.Flatten`.

    >>> flatten()({}, torch.zeros(5, 16, 3, 3)).shape
    torch.Size([5, 144])
    """
    return stateless(lambda x: torch.flatten(x, start_dim, end_dim))
