"""Derivatives of optimizers at zero norms and at decisions, by every kind of differentiation.

That derivatives are right elsewhere is tested in tests/optim/test_derivatives.py.
"""

import pytest
import torch
from torch.autograd import forward_ad

from funcdl import optim, transforms, tree
from funcdl.optim import schedules
from tests.optim.cases import CASES

JUMPS = {"sign_sgd", "scale_by_sign", "lion", "scale_by_lion", "rprop", "scale_by_rprop"}  # at 0 by twice a step
PARAMS = {"w": torch.tensor([[0.5, -1.0], [2.0, 0.0]], dtype=torch.float64), "b": torch.zeros(2, dtype=torch.float64)}
GRADS = {"w": torch.tensor([[1.0, 0.0], [-3.0, 0.5]], dtype=torch.float64), "b": torch.zeros(2, dtype=torch.float64)}


def run(optimizer, params, grads, state=None, steps=3):
    state = optimizer.init(params) if state is None else state
    for _ in range(steps):
        updates, state = optimizer.update(grads, state, params, value=torch.zeros(()))
        params = optim.apply_updates(params, updates)
    return params


def total(values):
    leaves = [leaf.double() for leaf in tree.leaves(values)]
    return sum((leaf * torch.arange(1, 1 + leaf.numel()).view(leaf.shape)).sum() for leaf in leaves)


def finite(values):
    return all(leaf.isfinite().all() for leaf in tree.leaves(values))


@pytest.mark.parametrize("name", sorted(set(CASES) - JUMPS))
def test_a_gradient_may_pass_through_zero(name):
    if CASES[name].tolerance:
        pytest.skip("its arithmetic is in bfloat16")
    optimizer, generator = CASES[name].make(), torch.Generator().manual_seed(0)
    params, grads = (
        {key: torch.randn(s, generator=generator, dtype=torch.float64) for key, s in CASES[name].shapes.items()}
        for _ in range(2)
    )
    state = optimizer.init(params)
    epsilons = [path for path in optim.get_hyperparameters(state) if "eps" in path.split(".")[-1]]
    state = optim.replace_hyperparameters(state, dict.fromkeys(epsilons, 0.1))

    def f(g):
        matrix = torch.where(torch.arange(15).view(5, 3) == 4, g, grads["matrix"])
        return total(run(optimizer, params, {**grads, "matrix": matrix}, state))

    zero, h = torch.zeros((), dtype=torch.float64), 1e-6
    first, second = transforms.grad(f)(zero), transforms.grad(transforms.grad(f))(zero)
    torch.testing.assert_close(first, (f(zero + h) - f(zero - h)) / (2 * h), rtol=1e-4, atol=1e-6)
    assert second.isfinite()


CLIPS = (optim.clip_by_norm, optim.adaptive_gradient_clip, optim.clip_by_block_rms)
ROOTS = {
    "adam": lambda: optim.adam(0.1, amsgrad=True),
    "adamw": lambda: optim.adamw(0.1),
    "lamb": lambda: optim.lamb(0.1, weight_decay=0.1),
    "lars": lambda: optim.lars(0.1, eps=0.0),
    "novograd": lambda: optim.novograd(0.1),
    "radam": lambda: optim.radam(0.1, betas=(0.9, 0.6)),  # the longest average is 4 there, by which it divides
    "radam, eps=0": lambda: optim.radam(0.1, eps=0.0),
    "prodigy, b2=0": lambda: optim.prodigy(betas=(0.0, 0.0)),
    "schedule_free, lr=0": lambda: optim.schedule_free_adamw(0.0),
    "centered": lambda: optim.rmsprop(0.1, centered=True, momentum=0.5),
    "clip": lambda: optim.chain(*(clip(0.5) for clip in CLIPS)),
    "muon": lambda: optim.partition({"m": optim.muon(0.1), "a": optim.adam(0.1)}, {"w": "m", "b": "a"}),
    "lbfgs": lambda: optim.lbfgs(history_size=2),
    "noise": lambda: optim.add_noise(torch.tensor([1, 2], dtype=torch.int32), eta=0.0),
}


@pytest.mark.parametrize("name", ROOTS)
@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_derivatives_are_finite_at_gradients_and_parameters_of_zero(name, scale):
    optimizer = ROOTS[name]()
    state, grads = optimizer.init(PARAMS), tree.map(lambda g: scale * g, GRADS)

    def f(grads, params, numbers):
        return total(run(optimizer, params, grads, optim.replace_hyperparameters(state, numbers)))

    point = grads, PARAMS, optim.get_hyperparameters(state)
    value = f(*point)
    gradient = transforms.grad(f, argnums=(0, 1, 2))
    if value.isfinite() or name != "radam, eps=0":
        assert finite(gradient(*point))
        _, second = torch.func.jvp(gradient, point, tree.map(torch.ones_like, point))
        assert finite(second)
        twice = transforms.grad(lambda *at: sum((leaf * leaf).sum() for leaf in tree.leaves(gradient(*at))), (0, 2))
        assert finite(twice(*point))


def test_a_ratio_of_norms_that_is_not_taken_has_no_derivative():
    transformation = optim.scale_by_trust_ratio()
    zeros = tree.zeros_like(GRADS)

    def update(grads, params):
        return total(transformation.update(grads, transformation.init(params), params)[0])

    ones = torch.arange(1, 5, dtype=torch.float64).view(2, 2)
    for grads, params in ((zeros, PARAMS), (GRADS, zeros), (zeros, zeros)):
        by_grads, by_params = transforms.grad(update, argnums=(0, 1))(grads, params)
        assert torch.equal(by_grads["w"], ones)  # the ratio is 1 there
        assert torch.equal(by_params["w"], zeros["w"])


def test_the_norm_of_novograd_has_the_second_derivative_of_a_square_at_zero():
    transformation = optim.scale_by_novograd()

    def kept(g):
        return transformation.update({"w": g}, transformation.init({"w": g}), {"w": g})[1].buffers["norm_sq"]["w"]

    hessian = torch.func.hessian(kept)(torch.zeros(2, dtype=torch.float64))
    assert torch.equal(hessian, 2 * torch.eye(2, dtype=torch.float64))


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_skipped_gradients_do_not_affect_derivatives(bad):
    optimizer = optim.apply_if_finite(optim.adamw(0.1), 5)
    grads = {**GRADS, "b": torch.full((2,), bad, dtype=torch.float64)}
    state = optimizer.init(PARAMS)

    def f(params, numbers):
        return total(run(optimizer, params, grads, optim.replace_hyperparameters(state, numbers)))

    by_params, by_hyper = transforms.grad(f, argnums=(0, 1))(PARAMS, optim.get_hyperparameters(state))
    assert torch.equal(by_params["w"], torch.arange(1, 5, dtype=torch.float64).view(2, 2))
    assert all(value.item() == 0 for value in by_hyper.values())


STARTS = {
    "grads": lambda state: (GRADS, lambda grads: (grads, state, PARAMS)),
    "params": lambda state: (PARAMS, lambda params: (GRADS, state, params)),
    "hyperparameters": lambda state: (
        optim.get_hyperparameters(state),
        lambda hyper: (GRADS, optim.replace_hyperparameters(state, hyper), PARAMS),
    ),
    "buffers": lambda state: (
        state[0].buffers,
        lambda buffers: (GRADS, (state[0]._replace(buffers=buffers), *state[1:]), PARAMS),
    ),
}


@pytest.mark.parametrize("start", STARTS)
def test_derivatives_by_one_operand_are_the_same_however_they_are_taken(start):
    optimizer = optim.lamb(0.1, eps=0.1, weight_decay=0.1)
    _, state = optimizer.update(tree.map(lambda g: 0.3 * g + 0.1, GRADS), optimizer.init(PARAMS), PARAMS)
    point, arguments = STARTS[start](state)

    def f(point):
        grads, state, params = arguments(point)
        return total(run(optimizer, params, grads, state))

    value, expected = f(point), torch.func.grad(f)(point)
    assert finite(expected)
    assert any(leaf.any() for leaf in tree.leaves(expected))

    def same(actual):
        torch.testing.assert_close(tree.leaves(actual), tree.leaves(expected))

    same(transforms.grad(f)(point))
    leaves = tree.map(lambda leaf: leaf.clone().requires_grad_(), point)
    recorded = f(leaves)
    assert torch.equal(recorded, value)
    recorded.backward()
    same(tree.map(lambda leaf: leaf.grad, leaves))
    many = tree.stack([point, point])
    same(tree.unstack(transforms.vmap(transforms.grad(f))(many))[1])
    same(tree.unstack(transforms.grad(lambda many: transforms.vmap(f)(many).sum())(many))[0])
    along = tree.map(torch.ones_like, point)
    expected_slope = sum(leaf.sum() for leaf in tree.leaves(expected))
    torch.testing.assert_close(torch.func.jvp(f, (point,), (along,))[1], expected_slope)
    with forward_ad.dual_level():
        dual = f(tree.map(forward_ad.make_dual, point, along))
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, expected_slope)


def test_members_may_differ_in_one_hyperparameter_only():
    optimizer = optim.scale_by_adam()
    state = optimizer.init(PARAMS)

    def update(eps):
        return optimizer.update(GRADS, optim.replace_hyperparameters(state, eps=eps), PARAMS)[0]["w"]

    epsilons = torch.tensor([0.1, 0.2], dtype=torch.float64)
    together = transforms.vmap(update)(epsilons)
    torch.testing.assert_close(together, torch.stack([update(eps) for eps in epsilons]), rtol=0, atol=0)


def test_muons_derivative_is_that_of_its_iteration():
    g = torch.tensor([[1.0, 0.2], [-0.4, 0.8], [0.5, 0.3]], dtype=torch.float64)
    mild = (1.5, -0.5, 0.0)
    transformation = optim.orthogonalize(mild)

    def exact(g):
        x = g / torch.linalg.vector_norm(g)
        for _ in range(5):
            x = mild[0] * x + mild[1] * x @ x.T @ x
        return total({"w": x})

    def rounded(g):
        return total(transformation.update({"w": g}, transformation.init({"w": g}), {"w": g})[0])

    torch.testing.assert_close(transforms.grad(rounded)(g), transforms.grad(exact)(g), rtol=0.05, atol=0.1)


D = torch.float64
SCHEDULES = {
    "constant": (lambda lr, factor: schedules.constant(lr, factor, 2), (0.1, 0.5)),
    "cosine": (lambda lr, low: schedules.cosine(lr, 5, low), (0.1, 0.01)),
    "cosine_restarts": (lambda lr, low: schedules.cosine_restarts(lr, 2, 2, low), (0.1, 0.01)),
    "cyclic": (lambda low, high, gamma: schedules.cyclic(low, high, 2, 3, "exp_range", gamma), (0.1, 0.2, 0.9)),
    "exponential": (schedules.exponential, (0.1, 0.9)),
    "inverse_time": (schedules.inverse_time, (0.1, 0.5, 0.75)),
    "join": (lambda a, b: schedules.join([schedules.exponential(a, 0.5), b], [2]), (0.1, 0.2)),
    "linear": (lambda lr, a, b: schedules.linear(lr, a, b, 4), (0.1, 0.3, 0.9)),
    "multi_step": (lambda lr, gamma: schedules.multi_step(lr, [1, 3], gamma), (0.1, 0.5)),
    "one_cycle": (lambda lr: schedules.one_cycle(lr, 6), (0.1,)),
    "one_cycle_momentum": (lambda low, high: schedules.one_cycle_momentum(6, 0.3, "cos", low, high), (0.8, 0.9)),
    "piecewise": (lambda a, b: schedules.piecewise({0: a, 2: b, 4: a}, "cos"), (0.1, 0.2)),
    "polynomial": (lambda lr, power: schedules.polynomial(lr, 3, power), (0.1, 1.5)),
    "product": (lambda a, b: schedules.product(a, schedules.exponential(b, 0.5)), (0.1, 0.2)),
    "step": (lambda lr, gamma: schedules.step(lr, 2, gamma), (0.1, 0.5)),
    "warm_up": (lambda lr, start: schedules.warm_up(schedules.cosine(lr, 4), 2, start), (0.1, 0.3)),
}


def test_every_schedule_is_here():
    assert set(SCHEDULES) == set(schedules.__all__)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_derivatives_of_a_schedule_are_limits_of_differences(name):
    make, numbers = SCHEDULES[name]
    point, h = torch.tensor(numbers, dtype=D), 1e-5

    def f(numbers):
        optimizer = optim.adamw(lr=make(*numbers.unbind()), eps=0.1)
        values = [make(*numbers.unbind())(torch.tensor(step)) for step in range(5)]
        return total(run(optimizer, PARAMS, GRADS)) + total(torch.stack(values))

    offsets = h * torch.eye(len(numbers), dtype=D)
    gradient = transforms.grad(f)
    differences = (transforms.vmap(f)(point + offsets) - transforms.vmap(f)(point - offsets)) / (2 * h)
    torch.testing.assert_close(gradient(point), differences, rtol=1e-6, atol=1e-7)
    gradients = transforms.vmap(gradient)
    hessian = torch.func.jacrev(gradient)(point)
    torch.testing.assert_close(
        hessian, (gradients(point + offsets) - gradients(point - offsets)) / (2 * h), rtol=1e-5, atol=1e-6
    )


COMPILED = {
    "adam": optim.adam(0.1),
    "lamb": optim.lamb(0.1, weight_decay=0.1),
    "rmsprop": optim.scale_by_rmsprop(centered=True),
}


def test_compiled_derivatives_are_the_eager_ones():
    params = PARAMS["w"]

    def f(grads):
        return sum(total(run(optimizer, params, grads, steps=2)) for optimizer in COMPILED.values())

    expected, actual = transforms.grad(f)(GRADS["w"]), transforms.jit(transforms.grad(f))(GRADS["w"])
    assert finite(expected)
    torch.testing.assert_close(actual, expected)
