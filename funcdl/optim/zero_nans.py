"""Replaces each NaN in gradients by 0."""

from __future__ import annotations

import torch

from funcdl import tree
from funcdl.optim.hyperparameters import Count
from funcdl.optim.transformation import Transformation
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.tree import Tree


def zero_nans() -> Transformation:
    """Replaces each NaN by 0, and counts them.

    Returns:
        A transformation whose state has `buffers["nans"]`: for each leaf how many elements of its gradients were
        replaced so far, a 0-dim int64 tensor. Infinities pass: clip them, or see `apply_if_finite`.

    >>> params = {"w": torch.zeros(3)}
    >>> transformation = zero_nans()
    >>> grads = {"w": torch.tensor([1.0, float("nan"), 3.0])}
    >>> updates, state = transformation.update(grads, transformation.init(params), params)
    >>> updates, state.buffers["nans"]
    ({'w': tensor([1., 0., 3.])}, {'w': tensor(1)})

    Equals `optax.zero_nans`, which stores whether the last update had one.
    """

    def init(params: Tree) -> Buffers:
        return {"nans": tree.map(lambda p: p.new_zeros((), dtype=torch.int64), params)}

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        is_nan = tree.map(torch.isnan, grads)
        updates = tree.map(lambda nan, g: torch.where(nan, 0, g), is_nan, grads)
        return updates, {"nans": tree.map(lambda total, nan: total + nan.sum(), buffers["nans"], is_nan)}

    return make_transformation("zero_nans", {}, init, update, as_real=False)
