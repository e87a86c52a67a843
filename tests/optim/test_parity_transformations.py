"""Parity with torch beyond the options of optimizers: ASGD's average, centered RMSprop, clipping, a scheduled rate."""

from functools import partial

import pytest
import torch
from torch.optim import ASGD, SGD

from funcdl import optim, tree
from funcdl.testing import assert_matches_optimizer
from tests.optim.torch_twin import Twin, draw, nonzero_like, shapes_for


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_the_average_of_asgd_is_that_of_torch(dtype, device):
    params = draw(shapes_for(ASGD), dtype, device)
    options = {"lr": 0.5, "t0": 3.0}
    transformation = optim.asgd(**options)
    state = transformation.init(params)
    parameters = tree.map(lambda p: torch.nn.Parameter(p.clone()), params)
    twin = Twin(ASGD, options, tree.leaves(parameters))
    for i in range(10):
        grads = nonzero_like(params, i)
        updates, state = transformation.update(grads, state, params)
        params = optim.apply_updates(params, updates)
        for parameter, grad in zip(tree.leaves(parameters), tree.leaves(grads), strict=True):
            parameter.grad = grad
        twin.step()
    expected = [twin.optimizer.state[parameter]["ax"] for parameter in tree.leaves(parameters)]
    actual = [torch.view_as_complex(ax) if dtype.is_complex else ax for ax in tree.leaves(state[-1].buffers["ax"])]
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
    assert (actual[-1] - tree.leaves(params)[-1]).abs().max() > 0.01  # and not the parameters themselves


def test_a_negative_centered_variance_counts_as_zero(device):
    """Where rounding makes the variance of the gradients negative, and torch.optim.RMSprop divides by NaN."""
    params = {"w": torch.ones(3, device=device)}
    transformation = optim.scale_by_rmsprop(eps=1.0, centered=True)
    state = transformation.init(params)
    averages = {"grad_avg": params, "square_avg": {"w": torch.full((3,), 1 - 1e-5, device=device)}}
    updates, _ = transformation.update(params, state._replace(buffers=averages), params)
    torch.testing.assert_close(updates, params)


@pytest.mark.parametrize("max_norm", [0.5, 0.0, 1e3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_clips_as_torch(max_norm, dtype, device):
    params, grads = draw(shapes_for(SGD), dtype, device), draw(shapes_for(SGD), dtype, device, seed=1)
    transformation = optim.clip_by_global_norm(max_norm)
    twins = [torch.nn.Parameter(p.clone()) for p in tree.leaves(params)]
    for twin, grad in zip(twins, tree.leaves(grads), strict=True):
        twin.grad = grad.clone()
    torch.nn.utils.clip_grad_norm_(twins, max_norm)
    updates, _ = transformation.update(grads, transformation.init(params), params)
    torch.testing.assert_close(tree.leaves(updates), [twin.grad for twin in twins])


def test_clipping_to_the_norm_itself_has_the_margin_of_torch():
    params = {"w": torch.tensor([3.0, 4.0], dtype=torch.float64)}
    transformation = optim.clip_by_global_norm(5.0)
    updates, _ = transformation.update(params, transformation.init(params), params)
    torch.testing.assert_close(updates["w"], params["w"] * 5 / (5 + 1e-6), rtol=1e-15, atol=0)


def test_a_scheduled_optimizer_takes_the_steps_of_torch_with_a_scheduler():
    params = draw(shapes_for(SGD), torch.float64, "cpu")

    def factory(parameters):
        optimizer = torch.optim.Adam(parameters, lr=0.1)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30, eta_min=0.01)
        optimizer.register_step_post_hook(lambda *_: scheduler.step())
        return optimizer

    transformation = optim.adam(lr=optim.schedules.cosine(0.1, T_max=30, eta_min=0.01))
    assert_matches_optimizer(transformation, factory, params, steps=50, rtol=1e-10, atol=1e-10)


def test_a_difference_names_the_step_and_the_leaf():
    params = {"a": torch.ones(2), "b": torch.ones(2)}

    def gradients(step):
        return {"a": torch.zeros(2), "b": torch.full((2,), float(step == 2))}

    with pytest.raises(AssertionError, match="step 2: parameter b"):
        assert_matches_optimizer(optim.sgd(lr=0.1), partial(torch.optim.SGD, lr=0.2), params, gradients=gradients)
