"""Each optimizer against its torch.optim twin, over a grid of options."""

from functools import partial

import pytest
import torch

from funcdl import optim, tree
from funcdl.testing import assert_matches_optimizer

CASES = [
    ("sgd", torch.optim.SGD, {}),
    ("sgd", torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.3}),
    ("sgd", torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    ("sgd", torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.4, "weight_decay": 0.1, "maximize": True}),
    ("sgd", torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("adadelta", torch.optim.Adadelta, {}),
    ("adadelta", torch.optim.Adadelta, {"lr": 0.5, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.1}),
    ("adadelta", torch.optim.Adadelta, {"lr": 0.5, "weight_decay": 0.1, "maximize": True}),
    ("adam", torch.optim.Adam, {}),
    ("adam", torch.optim.Adam, {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("adam", torch.optim.Adam, {"lr": 0.1, "betas": (0.0, 0.5)}),
    ("adam", torch.optim.Adam, {"lr": 0.1, "betas": (0.5, 0.6), "amsgrad": True}),
    ("adam", torch.optim.Adam, {"lr": 0.1, "weight_decay": 0.1, "maximize": True, "amsgrad": True}),
    ("adamw", torch.optim.AdamW, {}),
    ("adamw", torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.3, "betas": (0.5, 0.6), "amsgrad": True}),
    ("adamw", torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.3, "maximize": True}),
]


def odd_shapes(dtype, device):
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(0), dtype=dtype)
    params = {"scalar": draw(()), "empty": draw(0, 3), "layers": ({"weight": draw(1)}, {"weight": draw(5, 7, 3)})}
    return tree.map(lambda leaf: leaf.to(device), params)


@pytest.mark.parametrize(("name", "twin", "options"), CASES, ids=[f"{name}-{options}" for name, _, options in CASES])
def test_takes_the_steps_of_torch(name, twin, options, device):
    transformation, factory = getattr(optim, name)(**options), partial(twin, **options)
    assert_matches_optimizer(
        transformation, factory, odd_shapes(torch.float64, device), steps=50, rtol=1e-10, atol=1e-10
    )
    assert_matches_optimizer(transformation, factory, odd_shapes(torch.float32, device), steps=50)


def test_every_optimizer_that_claims_a_twin_is_here():
    claims = {name for name in optim.__all__ if "Equals `torch.optim." in (getattr(optim, name).__doc__ or "")}
    assert {name for name, _, _ in CASES} == claims


@pytest.mark.parametrize("max_norm", [0.5, 0.0, 1e3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_clips_as_torch(max_norm, dtype, device):
    params, grads = odd_shapes(dtype, device), tree.map(lambda p: 3 * p, odd_shapes(dtype, device))
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
    params = odd_shapes(torch.float64, "cpu")

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
