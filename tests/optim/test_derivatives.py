"""An optimizer is a function, so it has derivatives: the first and the second of every case through three updates.

They are taken with respect to the parameters, the scale of the gradients and every hyperparameter, and some of
the gradients are zero.
"""

from functools import partial

import pytest
import torch

from funcdl import optim, transforms, tree
from tests.optim.cases import CASES

INTEGERS = {"k", "sync_period", "patience", "cooldown", "start", "every", "max_consecutive_errors"}
OPTIMIZERS = {name: case.make() for name, case in CASES.items()}
every = pytest.mark.parametrize("name", CASES)
STEP = 1e-5


def drawn(generator, shapes):
    return {key: torch.randn(shape, generator=generator, dtype=torch.float64) for key, shape in shapes.items()}


def problem(name):
    """Parameters, and their gradients as a function of them and of a scale: some are 0, and so is a whole leaf."""
    generator = torch.Generator().manual_seed(0)
    shapes = {**CASES[name].shapes, "still": CASES[name].shapes["matrix"]}
    params, slopes, offsets = (drawn(generator, shapes) for _ in range(3))
    for leaf in (slopes, offsets):
        leaf["matrix"][0, 0] = leaf["matrix"][3] = 0
        leaf["still"] = torch.zeros_like(leaf["still"])
    params["matrix"][1, 1] = 0

    def gradients(params, scale):
        return tree.map(lambda p, a, b: scale * (a * p + b), params, slopes, offsets)

    return params, gradients


PROBLEMS = {name: problem(name) for name in CASES}


def friendly(value):
    """A number as it is, if differences of both sides tell something there: none is tiny, or where a kink may be."""
    return 0.97 * (value if value == 0 or value.abs() > 5e-3 else torch.full_like(value, 0.01))


def start(name, change=torch.clone):
    """What the result depends on."""
    params, _ = PROBLEMS[name]
    hyper = optim.get_hyperparameters(OPTIMIZERS[name].init(params))
    hyper = {path: change(value) for path, value in hyper.items() if path.split(".")[-1] not in INTEGERS}
    return {"params": params, "scale": torch.ones((), dtype=torch.float64), "hyper": hyper}


def result(name, point):
    """A scalar function of the parameters and the optimizer's buffers after three updates."""
    _, gradients = PROBLEMS[name]
    params = point["params"]
    state = optim.replace_hyperparameters(OPTIMIZERS[name].init(params), point["hyper"])
    for _ in range(3):
        loss = sum((leaf * leaf).sum() for leaf in tree.leaves(params))
        updates, state = OPTIMIZERS[name].update(gradients(params, point["scale"]), state, params, value=loss)
        params = optim.apply_updates(params, updates)
    leaves = [leaf for leaf in tree.leaves((params, state)) if leaf.is_floating_point()]
    return sum((torch.arange(i, i + leaf.numel()).cos().view(leaf.shape) * leaf).sum() for i, leaf in enumerate(leaves))


def coordinates(point):
    """The point as a vector, how to put it together, and how far to go along each coordinate: 0 where not at all."""
    vector, unravel = tree.ravel(point)
    steps = tree.map(lambda leaf: torch.full_like(leaf, STEP), point)
    steps["hyper"] = tree.map(lambda value: STEP * value.abs(), point["hyper"])
    return vector, unravel, tree.ravel(steps)[0]


def central(f, vector, steps):
    """Differences of `f` along each coordinate that has a step, by one call of `f` on all points together."""
    moved = steps.nonzero()[:, 0]
    offsets = torch.diag(steps)[moved]
    ahead, behind = f(vector + offsets), f(vector - offsets)
    return moved, (ahead - behind) / (2 * steps[moved].reshape(-1, *[1] * (ahead.ndim - 1)))


@every
def test_derivatives_are_finite_at_the_hyperparameters_of_its_case(name):
    gradient = transforms.grad(partial(result, name))
    point = start(name)
    first = gradient(point)
    along = tree.map(torch.ones_like, point)
    second = transforms.grad(lambda p: sum((leaf * leaf).sum() for leaf in tree.leaves(gradient(p))))(point)
    _, forward = torch.func.jvp(gradient, (point,), (along,))
    for tree_of_derivatives in (first, second, forward):
        for path, leaf in tree.leaves_with_paths(tree_of_derivatives):
            assert leaf.isfinite().all(), path


@every
def test_derivatives_are_limits_of_differences(name):
    if CASES[name].tolerance:
        pytest.skip("its arithmetic is in bfloat16; see tests/faults/test_optimizer_derivatives.py")
    vector, unravel, steps = coordinates(start(name, friendly))

    def f(vector):
        return result(name, unravel(vector))

    gradient = transforms.grad(f)(vector)
    moved, differences = central(transforms.vmap(f), vector, steps)
    torch.testing.assert_close(gradient[moved], differences, rtol=1e-5, atol=1e-6)
    _, rows = central(transforms.vmap(transforms.grad(f)), vector, steps)
    hessian = torch.func.jacrev(transforms.grad(f))(vector)
    torch.testing.assert_close(hessian[moved][:, moved], rows[:, moved], rtol=1e-4, atol=1e-5)
    assert hessian.isfinite().all()
