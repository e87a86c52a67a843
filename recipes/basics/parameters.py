"""The parameters of a layer, from the shape of its input."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.nn import Layer


def make(layer: Layer, key: Tensor, *shape: int) -> tree.Tree:
    """The parameters of a layer for inputs of a shape."""
    return layer.init(key, torch.empty(shape, device="meta"))[0]
