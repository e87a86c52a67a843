"""What holds for every layer, checked for every row of the table: a new layer needs a row, and then it is tested."""

import pytest
import torch

from funcdl import interop, nn, random, testing, transforms, tree
from tests.nn.cases import CASES, ROWS

every_row = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in ROWS])


def inputs_of(case, *, seed=1, device="cpu", dtype=torch.float32, members=()):
    key = random.key(seed, device=device)
    if isinstance(case.shape, list):
        return tuple(
            random.normal(random.fold_in(key, i), (*members, *shape), dtype=dtype) for i, shape in enumerate(case.shape)
        )
    return random.normal(key, (*members, *case.shape), dtype=dtype)


def on_meta(x):
    return tree.map(lambda leaf: torch.empty_like(leaf, device="meta"), x)


def twin_of(case, params, buffers):
    """The module with these values; made on the meta device, so that torch's global generator has no part in it."""
    with torch.device("meta"):
        module = case.twin()
    module.load_state_dict(interop.to_state_dict(params, buffers), assign=True)
    return module


def assert_trees_equal(a, b):
    torch.testing.assert_close(dict(tree.leaves_with_paths(a)), dict(tree.leaves_with_paths(b)), rtol=0, atol=0)


def assert_trees_close(a, b):
    torch.testing.assert_close(dict(tree.leaves_with_paths(a)), dict(tree.leaves_with_paths(b)))


def test_every_export_has_a_row():
    assert set(nn.__all__) - {"Layer"} == set(CASES)


@every_row
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matches_its_twin(case, dtype, device):
    x = inputs_of(case, device=device, dtype=dtype)
    module = twin_of(case, *case.layer.init(random.key(0, device=device), x))
    tolerance = {"rtol": 1e-10, "atol": 1e-10} if dtype == torch.float64 else {}
    draws = any(isinstance(part, (torch.nn.Dropout, torch.nn.Dropout2d)) for part in module.modules())
    for train in (False,) if draws else (False, True):
        testing.assert_matches_module(case.layer, module, x, train=train, **tolerance)


@every_row
def test_output_is_its_twins_bit_for_bit(case, device):
    x = inputs_of(case, device=device)
    params, buffers = case.layer.init(random.key(0, device=device), x)
    module = twin_of(case, params, buffers).eval()
    assert_trees_equal(case.layer.apply(params, buffers, x)[0], module(*x) if isinstance(x, tuple) else module(x))


@every_row
def test_a_single_sample_is_a_batch_of_one(case, device):
    if not case.unbatched:
        pytest.skip("works on whole batches")
    x = inputs_of(case, device=device, dtype=torch.float64)
    params, buffers = case.layer.init(random.key(0, device=device), x)
    single = tree.map(lambda leaf: leaf[0], x)
    y, _ = case.layer.apply(params, buffers, x)
    y_single, _ = case.layer.apply(params, buffers, single)
    assert_trees_close(y_single, tree.map(lambda leaf: leaf[0], y))
    assert_trees_equal(case.layer.init(random.key(0, device=device), single)[0], params)


@every_row
def test_init_reads_only_shape_and_dtype(case, device):
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        x = inputs_of(case, device=device).to(dtype) if not isinstance(case.shape, list) else inputs_of(case)
        key = random.key(3, device=device)
        made, made_on_meta = case.layer.init(key, x), case.layer.init(key, on_meta(x))
        assert_trees_equal(made, made_on_meta)
        for leaf in tree.leaves(made[0]):
            assert leaf.dtype == dtype
            assert leaf.device.type == device.type
            assert leaf.grad_fn is None
            assert not leaf.requires_grad


@every_row
def test_apply_is_pure(case, device):
    x = inputs_of(case, device=device)
    key = random.key(2, device=device)
    params, buffers = case.layer.init(random.key(0, device=device), x)
    before = tree.map(torch.clone, (params, buffers, x, key))
    y, after = case.layer.apply(params, buffers, x, key=key, train=True)
    assert_trees_equal((params, buffers, x, key), before)
    assert_trees_equal(case.layer.apply(params, buffers, x, key=key, train=True)[0], y)
    if not buffers:
        assert after is buffers
        assert_trees_equal(case.layer(params, x, key=key, train=True), y)


@every_row
def test_vmap_over_inputs_is_a_loop(case, device):
    xs = inputs_of(case, device=device, dtype=torch.float64, members=(3,))
    members = tree.unstack(xs)
    params, buffers = case.layer.init(random.key(0, device=device), members[0])

    def f(x, key):
        return case.layer.apply(params, buffers, x, key=key, train=True)[0]

    keys = random.split(random.key(5, device=device), 3)
    looped = tree.stack([f(x, key) for x, key in zip(members, keys, strict=True)])
    assert_trees_close(transforms.vmap(f)(xs, keys), looped)
    shared = tree.stack([f(x, keys[0]) for x in members])
    assert_trees_close(transforms.vmap(f, (0, None))(xs, keys[0]), shared)


@every_row
def test_vmap_over_members_is_a_loop(case, device):
    x = inputs_of(case, device=device, dtype=torch.float64)
    keys = random.split(random.key(6, device=device), 3)
    made = [case.layer.init(key, x) for key in keys]
    if not tree.leaves(made):
        pytest.skip("no parameters")
    stacked = tree.stack(made)
    assert_trees_equal(transforms.vmap(lambda key: case.layer.init(key, x))(keys), stacked)

    def gradient(params, buffers):
        def f(params):
            y, _ = case.layer.apply(params, buffers, x)
            return sum((leaf**2).sum() for leaf in tree.leaves(y))

        return transforms.grad(f)(params)

    assert_trees_close(transforms.vmap(gradient)(*stacked), tree.stack([gradient(*member) for member in made]))


def test_compiled_is_eager(device):
    """All rows in one graph, forwards and backwards in training mode: compiling each by itself takes minutes."""
    key = random.key(7, device=device)
    cases = [case for _, case in ROWS]
    inputs = [inputs_of(case, device=device, dtype=torch.float64) for case in cases]
    states = [case.layer.init(key, x) for case, x in zip(cases, inputs, strict=True)]

    def gradient(case, key, params, buffers, x):
        def f(params, x):
            y, after = case.layer.apply(params, buffers, x, key=key, train=True)
            return sum((leaf**2).sum() for leaf in tree.leaves(y)), (y, after)

        return transforms.grad(f, (0, 1), has_aux=True)(params, x)

    def everything(key, states, inputs):
        return [gradient(case, key, *state, x) for case, state, x in zip(cases, states, inputs, strict=True)]

    compiled = transforms.jit(everything)
    assert_trees_close(compiled(key, states, inputs), everything(key, states, inputs))
    other = random.key(8, device=device)
    assert_trees_close(compiled(other, states, inputs), everything(other, states, inputs))
