"""Clipping, centralization and the replacement of NaNs: against literals and torch."""

from math import inf, nan

import pytest
import torch

from funcdl import optim, tree
from tests.optim.steps import a_tree, same, updated


@pytest.mark.parametrize("limit", [0.0, 0.4, 100.0])
def test_clips_as_torch(limit):
    params, grads = a_tree(), tree.map(lambda p: 2 * p, a_tree(1))
    for make, clip in (
        (optim.clip_by_value, torch.nn.utils.clip_grad_value_),
        (optim.clip_by_norm, lambda twins, limit: [torch.nn.utils.clip_grad_norm_(twin, limit) for twin in twins]),
        (optim.clip_by_global_norm, torch.nn.utils.clip_grad_norm_),
    ):
        twins = [torch.nn.Parameter(p.clone()) for p in tree.leaves(params)]
        for twin, grad in zip(twins, tree.leaves(grads), strict=True):
            twin.grad = grad.clone()
        clip(twins, limit)
        same(tree.leaves(updated(make(limit), grads, params)), [twin.grad for twin in twins])


def test_clipping_leaves_a_nan_where_it_is():
    grads = {"w": torch.tensor([nan, 5.0, -inf])}
    torch.testing.assert_close(
        updated(optim.clip_by_value(1.0), grads, grads)["w"], torch.tensor([nan, 1, -1]), equal_nan=True
    )


def test_adaptive_clipping_is_by_unit():
    params = {"w": torch.tensor([[3.0, 4.0], [0.0, 0.0]]), "b": torch.tensor([0.0, 2.0]), "s": torch.tensor(10.0)}
    grads = {"w": torch.tensor([[0.0, 5.0], [3.0, 4.0]]), "b": torch.tensor([3.0, 4.0]), "s": torch.tensor(0.5)}
    updates = updated(optim.adaptive_gradient_clip(0.1, eps=0.5), grads, params)
    torch.testing.assert_close(updates["w"], torch.tensor([[0.0, 0.5], [0.03, 0.04]]))
    torch.testing.assert_close(updates["b"], torch.tensor([0.12, 0.16]))
    assert updates["s"] == 0.5
    same(updated(optim.adaptive_gradient_clip(0.0), tree.zeros_like(grads), params), tree.zeros_like(grads))


def test_the_shape_of_a_complex_leaf_is_its_own():
    z = torch.complex(torch.tensor([[1.0, 3.0], [2.0, 6.0]]), torch.tensor([[0.0, 2.0], [4.0, 4.0]]))
    params = {"matrix": z, "vector": z[0], "scalar": z[0, 0]}
    centred = updated(optim.centralize(), params, params)
    torch.testing.assert_close(centred["matrix"], z - z.mean(1, keepdim=True))
    torch.testing.assert_close(centred["vector"], z[0])
    clipped = updated(optim.adaptive_gradient_clip(0.5), params, params)
    same(clipped, tree.map(lambda leaf: leaf / 2, params))


def test_an_empty_leaf_has_no_mean_and_no_nan():
    empty = {"w": torch.zeros(3, 0), "v": torch.zeros(0, 3)}
    same(updated(optim.centralize(), empty, empty), empty)


def test_nans_are_counted_leaf_by_leaf():
    params = {"a": torch.zeros(3), "b": torch.zeros(())}
    transformation = optim.zero_nans()
    state = transformation.init(params)
    for grads in (
        {"a": torch.tensor([nan, 1.0, nan]), "b": torch.tensor(nan)},
        {"a": torch.tensor([nan, inf, 2.0]), "b": torch.tensor(3.0)},
    ):
        updates, state = transformation.update(grads, state, params)
    same(updates, {"a": torch.tensor([0.0, inf, 2.0]), "b": torch.tensor(3.0)})
    assert {name: int(count) for name, count in state.buffers["nans"].items()} == {"a": 3, "b": 1}
