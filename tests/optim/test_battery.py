"""What must hold for every optimizer and transformation: a new export without a case fails the first test."""

import copy
import pickle
from typing import NamedTuple

import pytest
import torch

from funcdl import optim, transforms, tree
from tests.optim.cases import CASES, FAMILIES
from tests.optim.cases.case import SHAPES

OPTIMIZERS = {name: case.make() for name, case in CASES.items()}
every = pytest.mark.parametrize("name", CASES)
each_family = pytest.mark.parametrize("family", FAMILIES)


def test_every_exported_optimizer_has_a_case():
    makers = {
        name for name in optim.__all__ if getattr(optim, name).__annotations__.get("return") == "Transformation"
    } - {"chain", "make_transformation", "stateless"}
    assert set(CASES) == makers


def params_and_grads(dtype=torch.float64, device="cpu", seed=0, shapes=SHAPES):
    generator = torch.Generator().manual_seed(seed)

    def draw():
        wide = torch.complex128 if dtype.is_complex else torch.float64
        return {
            name: torch.randn(shape, generator=generator, dtype=wide).to(device, dtype)
            for name, shape in shapes.items()
        }

    return draw(), draw()


def step(transformation, params, state, grads, value=None):
    value = torch.zeros(()) if value is None else value
    updates, state = transformation.update(grads, state, params, value=value)
    return optim.apply_updates(params, updates), state


def form(state):
    return [(path, leaf.shape, leaf.dtype, leaf.device) for path, leaf in tree.leaves_with_paths(state)]


def same(actual, expected, **tolerance):
    assert tree.structure(actual) == tree.structure(expected)
    torch.testing.assert_close(tree.leaves(actual), tree.leaves(expected), **tolerance)


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_form_of_params_and_state_never_changes(name, dtype, device):
    params, grads = params_and_grads(dtype, device, shapes=CASES[name].shapes)
    state = OPTIMIZERS[name].init(params)
    before = form(params), form(state)
    for _ in range(3):
        params, state = step(OPTIMIZERS[name], params, state, grads)
        assert (form(params), form(state)) == before
    assert all(leaf.isfinite().all() for leaf in tree.leaves((params, state)))
    for path, leaf in tree.leaves_with_paths(state):
        keys = path.split(".")
        if "count" in keys:
            assert (leaf.shape, leaf.dtype) == ((), torch.int64)
            assert leaf.item() in (3, CASES[name].inner_steps), path
        elif "hyperparameters" in keys:
            assert (leaf.shape, leaf.dtype) == ((), torch.float64)
        else:
            own = [CASES[name].own_dtypes[key] for key in keys if key in CASES[name].own_dtypes]
            assert [leaf.dtype] == (own or [dtype]), path


@every
def test_update_leaves_its_arguments_as_they_are(name, device):
    params, grads = params_and_grads(device=device, shapes=CASES[name].shapes)
    _, state = step(OPTIMIZERS[name], params, OPTIMIZERS[name].init(params), grads)
    arguments = (params, state, grads)
    copies, versions = tree.map(torch.clone, arguments), [leaf._version for leaf in tree.leaves(arguments)]
    first = step(OPTIMIZERS[name], *arguments)
    same(arguments, copies, rtol=0, atol=0)
    assert versions == [leaf._version for leaf in tree.leaves(arguments)]
    same(step(OPTIMIZERS[name], *arguments), first, rtol=0, atol=0)


@every
def test_pickled_and_copied_it_is_the_same_transformation(name, device):
    params, grads = params_and_grads(device=device, shapes=CASES[name].shapes)
    one = OPTIMIZERS[name]
    expected = step(one, params, one.init(params), grads)
    for other in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one), copy.copy(one)):
        same(step(other, params, other.init(params), grads), expected, rtol=0, atol=0)
        assert repr(other) == repr(one)
    assert not any(part in repr(one) for part in (" at 0x", "<locals>", "<function"))
    assert repr(one).startswith("chain(") or repr(one).startswith(f"{name}(")


def without(state, names):
    numbers = [path for path in optim.get_hyperparameters(state) if path.split(".")[-1] in names]
    return optim.replace_hyperparameters(state, dict.fromkeys(numbers, 0.0))


@every
def test_zero_gradients_are_harmless(name, device):
    params, grads = params_and_grads(device=device, shapes=CASES[name].shapes)
    transformation = CASES[name].make()
    state, zeros = transformation.init(params), tree.zeros_like(grads)
    state = without(state, CASES[name].idle)
    after = params
    for _ in range(3):
        after, state = step(transformation, after, state, zeros)
    same(after, params, rtol=0, atol=0)


@every
def test_a_nan_in_the_gradients_does_what_the_documentation_says(name, device):
    params, grads = params_and_grads(device=device, shapes=CASES[name].shapes)
    spoilt = tree.map(torch.clone, grads)
    spoilt["matrix"][2, 1] = torch.nan
    state = OPTIMIZERS[name].init(params)
    for gradients in (grads, spoilt, grads, grads):
        params, state = step(OPTIMIZERS[name], params, state, gradients)
    element = {key: torch.zeros_like(leaf, dtype=torch.bool) for key, leaf in params.items()}
    element["matrix"][2, 1] = True
    expected = {
        "element": element,
        "unit": {**element, "matrix": element["matrix"].any(1, keepdim=True).expand(5, 3)},
        "leaf": {key: torch.full_like(mask, key == "matrix") for key, mask in element.items()},
        "tree": tree.map(torch.ones_like, element),
        "nothing": tree.map(torch.zeros_like, element),
    }
    same(tree.map(torch.isnan, params), expected[CASES[name].nan])
    assert CASES[name].nan != "nothing" or all(leaf.isfinite().all() for leaf in tree.leaves(state))


@every
@pytest.mark.parametrize("dtype", [torch.complex128, torch.complex64])
def test_a_complex_parameter_moves_as_the_pair_of_its_parts(name, dtype, device):
    params, grads = params_and_grads(dtype, device, shapes=CASES[name].shapes)
    if not CASES[name].takes_complex:
        with pytest.raises(ValueError, match=f"init: parameter '.*dtype {dtype}, expected a real"):
            OPTIMIZERS[name].init(params)
        return
    state = OPTIMIZERS[name].init(params)
    real_params, real_grads = tree.map(torch.view_as_real, params), tree.map(torch.view_as_real, grads)
    real_state = OPTIMIZERS[name].init(real_params)
    before = form(params), form(state)
    for _ in range(3):
        params, state = step(OPTIMIZERS[name], params, state, grads)
        real_params, real_state = step(OPTIMIZERS[name], real_params, real_state, real_grads)
        assert (form(params), form(state)) == before
        if not CASES[name].asks_shape:
            same(tree.map(torch.view_as_real, params), real_params)


class Weights(NamedTuple):
    matrix: torch.Tensor
    rest: tuple


@every
def test_takes_any_tree(name, device):
    params, grads = params_and_grads(device=device, shapes=CASES[name].shapes)

    def after(params, grads):
        state = without(OPTIMIZERS[name].init(params), CASES[name].by_place)
        return step(OPTIMIZERS[name], params, state, grads)[0]

    expected = after(params, grads)
    shapes = [
        lambda t: (t["empty"], [t["matrix"]], {"deep": {"one": t["one"], "nothing": {}}}, t["scalar"]),
        lambda t: Weights(t["matrix"], (t["empty"], t["one"], t["scalar"])),
    ]
    for shape in shapes:
        same(after(shape(params), shape(grads)), shape(expected))
    for empty in ({}, ()):
        assert after(empty, empty) == empty


def runner(family):
    """One step of every optimizer of the family: one graph instead of one for each."""

    def run_all(params, states, grads):
        return {name: step(OPTIMIZERS[name], params[name], states[name], grads[name]) for name in FAMILIES[family]}

    return run_all


def family_params_and_grads(family, device, seed=0, leaves=tuple(SHAPES)):
    trees = {
        name: params_and_grads(device=device, seed=seed, shapes={leaf: case.shapes[leaf] for leaf in leaves})
        for name, case in FAMILIES[family].items()
    }
    return {name: params for name, (params, _) in trees.items()}, {name: grads for name, (_, grads) in trees.items()}


def all_same(actual, expected):
    for name, result in expected.items():
        same(actual[name], result, **CASES[name].tolerance)


def scaled(state, factor):
    return optim.replace_hyperparameters(
        state, {path: factor * value for path, value in optim.get_hyperparameters(state).items()}
    )


def compilations():
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@each_family
def test_compiled_is_eager_and_compiles_once(family, device):
    params, grads = family_params_and_grads(family, device)
    run_all = runner(family)
    states = {name: OPTIMIZERS[name].init(params[name]) for name in FAMILIES[family]}
    fast = transforms.jit(run_all)
    first = fast(params, states, grads)
    all_same(first, run_all(params, states, grads))
    compiled = compilations()
    states = {name: state for name, (_, state) in first.items()}
    all_same(fast(params, states, grads), run_all(params, states, grads))
    states = {name: scaled(state, 0.5) for name, state in states.items()}
    all_same(fast(params, states, grads), run_all(params, states, grads))
    assert compilations() == compiled


def members(family, device, leaves):
    """Three members with parameters, gradients and numbers of their own, after one step each."""
    trees = [family_params_and_grads(family, device, seed, leaves) for seed in range(3)]
    states = [
        {
            name: scaled(
                step(OPTIMIZERS[name], params[name], OPTIMIZERS[name].init(params[name]), grads[name])[1],
                1 - 0.2 * member,
            )
            for name in FAMILIES[family]
        }
        for member, (params, grads) in enumerate(trees)
    ]
    return [(params, state, grads) for (params, grads), state in zip(trees, states, strict=True)]


@each_family
@pytest.mark.parametrize("compiled", [False, True])
def test_vmapped_members_are_single_runs(family, compiled, device):
    run_all = runner(family)
    leaves = ("scalar", "matrix") if compiled else tuple(SHAPES)  # code for each leaf takes the compiler seconds
    arguments = members(family, device, leaves)
    together = transforms.vmap(run_all)
    together = transforms.jit(together) if compiled else together
    all_same(together(*tree.stack(arguments)), tree.stack([run_all(*member) for member in arguments]))


@each_family
def test_vmapped_gradients_share_parameters_and_state(family, device):
    params, _ = family_params_and_grads(family, device)
    states = {name: OPTIMIZERS[name].init(params[name]) for name in FAMILIES[family]}
    run_all = runner(family)
    many = [family_params_and_grads(family, device, seed=seed)[1] for seed in range(3)]
    together = transforms.vmap(lambda grads: run_all(params, states, grads))(tree.stack(many))
    all_same(together, tree.stack([run_all(params, states, grads) for grads in many]))


def test_an_ensemble_takes_a_learning_rate_per_member(device):
    params, grads = params_and_grads(device=device)
    many, optimizer = tree.stack([params] * 3), optim.adam()
    state = optim.replace_hyperparameters(transforms.vmap(optimizer.init)(many), lr=torch.tensor([0.1, 0.2, 0.4]))
    after, _ = transforms.vmap(lambda p, s: step(optimizer, p, s, grads))(many, state)
    for lr, member in zip((0.1, 0.2, 0.4), tree.unstack(after), strict=True):
        exact = optim.adam(lr=torch.tensor(lr))  # the float32 number that the member got
        same(member, step(exact, params, exact.init(params), grads)[0])


def minimize(f, name, lr, start, steps, enough=0.0):
    """The value that so many steps, or those to a value that is enough, reach.

    Derivatives are written out, as autograd would take most of the time.
    """
    optimizer, point = CASES[name].descend(lr), CASES[name].point
    params = {"x": torch.tensor(start, dtype=torch.float64).reshape(point)}
    state = optimizer.init(params)
    for _ in range(steps):
        value, slope = torch.tensor(f(*params["x"].flatten().tolist()), dtype=torch.float64).split([1, 2])
        if value < enough:
            break
        params, state = step(optimizer, params, state, {"x": slope.reshape(point)}, value.squeeze())
    return f(*params["x"].flatten().tolist())[0]


def bowl(x, y):
    """A quadratic function and its derivatives."""
    return (x - 1) ** 2 + 3 * (y + 2) ** 2, 2 * (x - 1), 6 * (y + 2)


def valley(x, y):
    """Rosenbrock's function and its derivatives."""
    above = y - x**2
    return (1 - x) ** 2 + 100 * above**2, 2 * (x - 1) - 400 * x * above, 200 * above


@every
def test_converges_on_a_quadratic(name):
    assert minimize(bowl, name, CASES[name].quadratic, [0.0, 0.0], 600) < 1e-3


@every
def test_converges_on_rosenbrocks_valley(name):
    assert minimize(valley, name, CASES[name].rosenbrock, [-1.0, 1.0], 3000, enough=0.4) < 0.8  # from 4
