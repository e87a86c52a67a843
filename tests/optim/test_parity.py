"""Each optimizer against its torch.optim twin, over a grid of options."""

import inspect
import re

import pytest
import torch
from torch.optim import (
    ASGD,
    LBFGS,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Muon,
    NAdam,
    RAdam,
    RMSprop,
    Rprop,
)

from funcdl import optim, tree
from funcdl.testing import assert_matches_optimizer
from tests.optim.torch_twin import Twin, draw, nonzero_like, shapes_for

GRID = {
    ("sgd", SGD): [
        {},
        {"lr": 0.1, "weight_decay": 0.3},
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.4, "weight_decay": 0.1, "maximize": True},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    ],
    ("adadelta", Adadelta): [
        {},
        {"lr": 0.5, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.1},
        {"lr": 0.5, "weight_decay": 0.1, "maximize": True},
    ],
    ("adagrad", Adagrad): [
        {},
        {"lr": 0.1, "lr_decay": 0.1},
        {"lr": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-2},
        {"lr": 0.1, "lr_decay": 0.01, "weight_decay": 0.1, "maximize": True},
    ],
    ("rmsprop", RMSprop): [
        {},
        {"lr": 0.01, "alpha": 0.5, "eps": 1e-2, "weight_decay": 0.1},
        {"lr": 0.01, "centered": True},
        {"lr": 0.01, "momentum": 0.9, "maximize": True},
        {"lr": 0.01, "alpha": 0.9, "momentum": 0.5, "centered": True, "weight_decay": 0.1},
    ],
    ("rprop", Rprop): [
        {},
        {"lr": 0.1, "etas": (0.3, 1.7)},
        {"lr": 0.1, "step_sizes": (0.06, 0.2), "maximize": True},
    ],
    ("asgd", ASGD): [
        {},
        {"lr": 0.5, "lambd": 0.1, "alpha": 0.6},
        {"lr": 0.5, "lambd": 0.01, "t0": 3.0, "weight_decay": 0.1, "maximize": True},
    ],
    ("adam", Adam): [
        {},
        {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1},
        {"lr": 0.1, "betas": (0.0, 0.5)},
        {"lr": 0.1, "betas": (0.5, 0.6), "amsgrad": True},
        {"lr": 0.1, "weight_decay": 0.1, "maximize": True, "amsgrad": True},
    ],
    ("adamw", AdamW): [
        {},
        {"lr": 0.1, "weight_decay": 0.3, "betas": (0.5, 0.6), "eps": 1e-3, "amsgrad": True},
        {"lr": 0.1, "weight_decay": 0.3, "maximize": True},
    ],
    ("adamax", Adamax): [
        {},
        {"lr": 0.1, "betas": (0.5, 0.6), "eps": 0.1},
        {"lr": 0.1, "betas": (0.0, 0.9), "weight_decay": 0.1, "maximize": True},
    ],
    ("nadam", NAdam): [
        {},
        {"lr": 0.1, "betas": (0.5, 0.6), "eps": 0.1, "momentum_decay": 0.3},
        {"lr": 0.1, "momentum_decay": 0.0, "weight_decay": 0.1, "maximize": True},
        {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True},
        {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    ("radam", RAdam): [
        {},
        {"lr": 0.1, "betas": (0.5, 0.8), "eps": 0.1},
        {"lr": 0.1, "betas": (0.9, 0.5)},  # too short an average ever to be rectified
        {"lr": 0.1, "weight_decay": 0.1, "maximize": True},
        {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True},
        {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    ("adafactor", Adafactor): [
        {},
        {"lr": 0.1, "beta2_decay": -0.5, "eps": (1e-2, 0.1)},
        {"lr": 0.1, "eps": (1.25, 1e-3)},  # more than most of the gradients
        {"lr": 2.0, "d": 1.5},  # 1 / sqrt(t) is the smaller one for 50 steps
        {"lr": 0.1, "weight_decay": 0.1, "maximize": True},
    ],
    ("muon", Muon): [
        {},
        {"lr": 0.1, "momentum": 0.7, "nesterov": False, "weight_decay": 0.3},
        {"lr": 0.1, "ns_coefficients": (1.5, -0.5, 0.0), "ns_steps": 3, "eps": 10.0},
        {"lr": 0.1, "adjust_lr_fn": "original"},
        {"lr": 0.1, "adjust_lr_fn": "match_rms_adamw"},
        {"lr": 0.1, "adjust_lr_fn": "spectral_unclamped"},
    ],
    ("lbfgs", LBFGS): [
        {},
        {"lr": 0.5, "history_size": 3},
        {"lr": 0.5, "history_size": 1, "tolerance_grad": 0.5},
        {"lr": 0.5, "tolerance_change": 1.0, "maximize": True},
    ],
}
CASES = [
    pytest.param(name, twin, options, id=f"{name}-{options}") for (name, twin), many in GRID.items() for options in many
]

NO_TWIN = {"SparseAdam": "its gradients are sparse tensors, which torch.func does not make"}
HOW_NOT_WHAT = {"params", "foreach", "fused", "capturable", "differentiable"}  # options that choose torch's kernels
ELSEWHERE = {
    Adam: {"decoupled_weight_decay"},  # that is adamw
    LBFGS: {"max_iter", "max_eval", "line_search_fn"},  # of several updates in one step
}
REAL_ONLY = {Adafactor: "does not support complex", Muon: "[Cc]omplex parameters"}


def slope(params, sign=1.0):
    """The gradient of a bowl with sides that flatten out, 100 times steeper for some weights than for others."""

    def leaf(p):
        steepness = torch.linspace(1, 100, p.numel(), dtype=torch.float64, device=p.device).reshape(p.shape)
        return sign * steepness.to(p.real.dtype) * p / (1 + p.abs() ** 2).sqrt()

    return tree.map(leaf, params)


def assert_same_steps(name, twin, options, params, **tolerance):
    made = []

    def factory(parameters):
        made.append(Twin(twin, options, parameters))
        return made[0]

    def gradients(step):
        if twin is not LBFGS:
            return nonzero_like(params, step)
        # A guessed Hessian of random gradients makes any rounding error grow, so these belong to one function.
        here = tree.unflatten(tree.structure(params), [p.detach() for p in made[0].parameters])
        return slope(here, -1.0 if options.get("maximize") else 1.0)

    transformation = getattr(optim, name)(**options)
    assert_matches_optimizer(transformation, factory, params, steps=50, gradients=gradients, **tolerance)


def skip_what_this_torch_lacks(twin, options, dtype=None):
    if lacks := options.keys() - inspect.signature(twin).parameters.keys():
        pytest.skip(f"torch.optim.{twin.__name__} of this torch has no {lacks}")
    if twin is Muon:
        parameter = torch.nn.Parameter(torch.ones(2, 2, dtype=torch.bfloat16))
        try:
            optimizer = twin([parameter], **{**options, "momentum": 0.5})
        except ValueError:
            pytest.skip(f"torch.optim.Muon of this torch has no {options['adjust_lr_fn']}")
        parameter.grad = torch.full_like(parameter, 2.0)
        optimizer.step()
        if dtype == torch.bfloat16 and not (optimizer.state[parameter]["momentum_buffer"] == 1).all():
            pytest.skip("torch.optim.Muon of this torch overwrites its average when that is bfloat16")


@pytest.mark.parametrize(("name", "twin", "options"), CASES)
def test_takes_the_steps_of_torch(name, twin, options, device):
    skip_what_this_torch_lacks(twin, options)
    shapes = shapes_for(twin)
    assert_same_steps(name, twin, options, draw(shapes, torch.float64, device), rtol=1e-10, atol=1e-10)
    assert_same_steps(name, twin, options, draw(shapes, torch.float32, device))


@pytest.mark.parametrize(("name", "twin", "options"), [case for case in CASES if case.values[1] not in REAL_ONLY])
def test_takes_the_steps_of_torch_with_complex_parameters(name, twin, options, device):
    skip_what_this_torch_lacks(twin, options)
    shapes = shapes_for(twin)
    assert_same_steps(name, twin, options, draw(shapes, torch.complex128, device), rtol=1e-10, atol=1e-10)
    assert_same_steps(name, twin, options, draw(shapes, torch.complex64, device))


@pytest.mark.parametrize("twin", REAL_ONLY)
def test_refuses_complex_parameters_where_torch_does(twin):
    params = {"w": torch.ones(2, 2, dtype=torch.complex64)}
    parameter = torch.nn.Parameter(params["w"].clone())
    parameter.grad = params["w"].clone()
    with pytest.raises((RuntimeError, ValueError), match=REAL_ONLY[twin]):
        twin([parameter]).step()
    (name,) = [name for name, other in GRID if other is twin]
    with pytest.raises(ValueError, match=r"parameter 'w' has shape .* and dtype torch.complex64, expected a real"):
        getattr(optim, name)().init(params)


# Learning rates with which five steps move the parameters about as far as they are from zero.
FAR = {"rprop": 0.1, "adadelta": 100.0, "rmsprop": 0.05, "adafactor": 0.5, "muon": 1.0, "lbfgs": 3000.0}


def displacement(step, params):
    """How far five steps in bfloat16 lead, as one float64 vector."""
    start = params
    for i in range(5):
        params = step(params, nonzero_like(params, i))
    return tree.ravel(tree.map(lambda p, q: p.double() - q.double(), params, start))[0]


@pytest.mark.parametrize(("name", "twin", "options"), CASES)
def test_takes_the_steps_of_torch_in_bfloat16(name, twin, options, device):
    """The distance, relative to the way, is that of rounding, and much less than a wrong rate would make.

    A bfloat16 is rounded by 2^-9 = 0.002 at most; each step rounds the parameter once and the update about ten times,
    with errors of either sign, on both sides.
    """
    skip_what_this_torch_lacks(twin, options, torch.bfloat16)
    params = draw(shapes_for(twin), torch.bfloat16, device)
    options = {**options, "lr": FAR.get(name, 0.3)}

    def ours(options):
        transformation = getattr(optim, name)(**options)
        state = transformation.init(params)

        def step(params, grads):
            nonlocal state
            updates, state = transformation.update(grads, state, params)
            return optim.apply_updates(params, updates)

        return displacement(step, params)

    def theirs():
        parameters = tree.map(lambda p: torch.nn.Parameter(p.clone()), params)
        optimizer = Twin(twin, options, tree.leaves(parameters))

        def step(params, grads):
            for parameter, grad in zip(tree.leaves(parameters), tree.leaves(grads), strict=True):
                parameter.grad = grad
            optimizer.step()
            return tree.map(lambda p: p.detach().clone(), parameters)

        return displacement(step, params)

    way = theirs()
    assert (ours(options) - way).norm() < 0.02 * way.norm()
    wrong = {**options, "lr": 1.1 * options["lr"]}
    assert (ours(wrong) - way).norm() > 0.04 * way.norm()


def test_every_optimizer_of_torch_is_here():
    theirs = {
        name
        for name, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer) and value is not torch.optim.Optimizer
    }
    assert {twin.__name__ for _, twin in GRID} | set(NO_TWIN) == theirs


@pytest.mark.parametrize(("name", "twin"), GRID)
def test_every_option_of_torch_is_varied(name, twin):
    theirs = set(inspect.signature(twin).parameters) - HOW_NOT_WHAT - ELSEWHERE.get(twin, set())
    assert theirs <= {option for options in GRID[name, twin] for option in options}


def test_every_optimizer_that_claims_a_twin_is_here():
    claims = {
        name
        for name in optim.__all__
        if re.search(r"Equals `torch\.optim\.[A-Z]\w+`", getattr(optim, name).__doc__ or "")
    }
    assert {name for name, _ in GRID} == claims
