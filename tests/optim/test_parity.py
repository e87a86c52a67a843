"""Each optimizer against its torch.optim twin, over a grid of options."""

import inspect
import re
from contextlib import contextmanager
from functools import partial

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


def shapes_for(twin):
    if twin is Muon:  # matrices only
        return {"wide": (5, 7), "empty": (0, 3), "layers": ({"weight": (64, 29)}, {"weight": (1, 1)})}
    shapes = {"scalar": (), "empty": (0, 3), "layers": ({"weight": (1,)}, {"weight": (64, 129)}, {"weight": (2, 3, 5)})}
    if twin is Adafactor:  # divides by the number of elements
        del shapes["empty"]
    return shapes


def draw(shapes, dtype, device, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def leaf(shape):
        return torch.randn(shape, generator=generator, dtype=dtype).to(device)

    def walk(node):
        if isinstance(node, dict):
            return {name: walk(child) for name, child in node.items()}
        return tuple(walk(child) for child in node) if node and isinstance(node[0], dict) else leaf(node)

    return walk(shapes)


def nonzero_like(params, step):
    """Numbers, both parts of complex ones too, of size 0.1 and more."""

    def away_from_zero(leaf):
        real = torch.view_as_real(leaf) if leaf.is_complex() else leaf
        moved = real + 0.1 * torch.where(real < 0, -1, 1).to(real.dtype)
        return torch.view_as_complex(moved) if leaf.is_complex() else moved

    generator = torch.Generator().manual_seed(step + 1)
    return tree.map(
        lambda p: away_from_zero(torch.randn(p.shape, generator=generator, dtype=p.dtype).to(p.device)), params
    )


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class Twin:
    """A torch optimizer that does one update in each step, with its own scalars as wide as the parameters.

    Otherwise ASGD's rate and NAdam's product of momenta would be float32, whatever the parameters are.
    """

    def __init__(self, twin, options, parameters):
        self.parameters = parameters
        self.closure = []
        if twin is LBFGS:
            options, self.closure = {**options, "max_iter": 1}, [lambda: torch.zeros(())]
        if "foreach" in inspect.signature(twin).parameters:
            options = {**options, "foreach": False}
        self.optimizer = twin(parameters, **options)

    def step(self):
        with default_dtype(torch.float64 if self.wide() else torch.float32):
            self.optimizer.step(*self.closure)

    def wide(self):
        return any(p.dtype in (torch.float64, torch.complex128) for p in self.parameters)


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
    actual = [torch.view_as_complex(ax) if dtype.is_complex else ax for ax in tree.leaves(state[-1].memory["ax"])]
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
    assert (actual[-1] - tree.leaves(params)[-1]).abs().max() > 0.01  # and not the parameters themselves


def test_a_centred_root_of_less_than_nothing_is_nothing(device):
    """Where rounding makes the variance of the gradients negative, and torch.optim.RMSprop divides by NaN."""
    params = {"w": torch.ones(3, device=device)}
    transformation = optim.scale_by_rmsprop(eps=1.0, centered=True)
    state = transformation.init(params)
    averages = {"grad_avg": params, "square_avg": {"w": torch.full((3,), 1 - 1e-5, device=device)}}
    updates, _ = transformation.update(params, state._replace(memory=averages), params)
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
