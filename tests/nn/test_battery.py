"""The contract of layers, checked for every case of the table: a new layer needs a case, and then it is tested."""

import copy
import pickle

import pytest
import torch

from funcdl import interop, nn, random, testing, transforms, tree
from tests.compile_with import compile_with
from tests.nn.cases import CASES, FAMILIES, NAMED_CASES
from tests.nn.cases.case import Integers

DRAWING = (torch.nn.modules.dropout._DropoutNd, torch.nn.RReLU)
every_family = pytest.mark.parametrize("family", [pytest.param(f, id=f.__name__.rsplit(".")[-1]) for f in FAMILIES])
every_case = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in NAMED_CASES])


def inputs_of(case, *, seed=1, device="cpu", dtype=torch.float32, members=()):
    def draw(shape, key):
        if isinstance(shape, list):
            return tuple(draw(part, random.fold_in(key, i)) for i, part in enumerate(shape))
        if isinstance(shape, dict):
            return {name: draw(part, random.fold_in(key, i)) for i, (name, part) in enumerate(shape.items())}
        if isinstance(shape, Integers):
            return random.randint(key, (*members, *shape.shape), shape.low, shape.high)
        return random.normal(key, (*members, *shape), dtype=dtype)

    return draw(case.shape, random.key(seed, device=device))


def init_of(case, key, x, dtype):
    """The parameters and buffers in a dtype, which integer inputs do not tell."""
    made = case.layer.init(key, x)
    return tree.map(lambda leaf: leaf.to(dtype) if leaf.is_floating_point() else leaf, made)


def floating(x):
    return tree.partition(x, lambda _, leaf: leaf.is_floating_point())


def draws(module):
    """Whether a module in training mode reads torch's global generator."""
    parts = [*module.modules()]
    rates = [part.dropout for part in parts if isinstance(getattr(part, "dropout", None), float)]
    return any(isinstance(part, DRAWING) and getattr(part, "p", 1) > 0 for part in parts) or any(rates)


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
    assert set(nn.__all__) - {"Layer", "SummaryRow", "summary"} == set(CASES)


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matches_its_twin(case, dtype, device):
    x = inputs_of(case, device=device, dtype=dtype)
    module = twin_of(case, *init_of(case, random.key(0, device=device), x, dtype))
    tolerance = {"rtol": 1e-10, "atol": 1e-10} if dtype == torch.float64 else {}
    for train in (False,) if draws(module) else (False, True):
        testing.assert_matches_module(case.layer, module, x, train=train, **tolerance)


@every_case
def test_output_is_its_twins_bit_for_bit(case, device):
    if not case.exact:
        pytest.skip("computed by other operations than the twin's")
    x = inputs_of(case, device=device)
    params, buffers = case.layer.init(random.key(0, device=device), x)
    module = twin_of(case, params, buffers).eval()
    assert_trees_equal(case.layer.apply(params, buffers, x)[0], testing.call(module, x))


@every_case
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


@every_case
def test_init_reads_only_shape_and_dtype(case, device):
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        x = inputs_of(case, device=device, dtype=dtype)
        key = random.key(3, device=device)
        made, made_on_meta = case.layer.init(key, x), case.layer.init(key, on_meta(x))
        assert_trees_equal(made, made_on_meta)
        expected = dtype if tree.leaves(floating(x)[0]) else torch.get_default_dtype()
        for leaf in tree.leaves(made[0]):
            assert leaf.dtype == expected
            assert leaf.device.type == device.type
            assert leaf.grad_fn is None
            assert not leaf.requires_grad


@pytest.mark.parametrize(
    ("name", "case"),
    [pytest.param(name, case, id=f"{name}{i}") for name in CASES for i, case in enumerate(CASES[name])],
)
def test_pickled_and_copied_it_is_the_same_layer(name, case, device):
    x = inputs_of(case, device=device)
    key = random.key(0, device=device)
    for layer in (pickle.loads(pickle.dumps(case.layer)), copy.deepcopy(case.layer), copy.copy(case.layer)):
        made = layer.init(key, x)
        assert_trees_equal(made, case.layer.init(key, x))
        found, expected = (which.apply(*made, x, key=key, train=True) for which in (layer, case.layer))
        assert_trees_equal(found, expected)
        assert repr(layer) == repr(case.layer)
    assert not any(part in repr(layer) for part in (" at 0x", "<locals>", "<function"))
    assert name in repr(layer) or name in ("repeat", "stateless")  # which make the layers that others make


@every_case
def test_in_bfloat16(case, device):
    x, integers = floating(inputs_of(case, device=device, dtype=torch.bfloat16))
    key = random.key(0, device=device)
    params, buffers = init_of(case, key, tree.combine(x, integers), torch.bfloat16)

    def weights_of(leaf):  # a plain sum of a normalized output would be constant
        return random.normal(random.key(9, device=device), leaf.shape, dtype=torch.bfloat16).to(leaf.dtype)

    def gradient(params, buffers, x):
        def f(params, x):
            y, _ = case.layer.apply(params, buffers, tree.combine(x, integers))
            return sum((leaf * weights_of(leaf)).sum() for leaf in tree.leaves(y)), y

        return transforms.grad(f, (0, 1), has_aux=True)(params, x)

    found = gradient(params, buffers, x)
    assert all(leaf.dtype == torch.bfloat16 for leaf in tree.leaves(found))
    exact = gradient(*tree.map(torch.Tensor.double, (params, buffers, x)))
    for rounded, leaf in zip(tree.leaves(found), tree.leaves(exact), strict=True):
        assert (rounded - leaf).norm() <= 0.03 * leaf.norm()


@every_case
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


@every_case
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


@every_case
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


@every_family
def test_every_row_is_traced(family, device, monkeypatch):
    """All cases of a family but those below, in one graph of ATen operations, without generated code."""
    compile_with("aot_eager", monkeypatch)
    check_compiled([case for cases in family.CASES.values() for case in cases[:-1]], device)


@every_family
def test_compiled_is_eager(family, device):
    """The last case of each layer, traced and compiled in one graph for a family: code for all would take minutes."""
    check_compiled([cases[-1] for cases in family.CASES.values()], device)


def check_compiled(cases, device):
    """Asserts that the gradients, outputs and new buffers of these cases in training mode are the same in one graph."""
    key = random.key(7, device=device)
    inputs = [inputs_of(case, device=device, dtype=torch.float64) for case in cases]
    states = [case.layer.init(key, x) for case, x in zip(cases, inputs, strict=True)]

    def gradient(case, key, params, buffers, x):
        x, integers = floating(x)

        def f(params, x):
            y, after = case.layer.apply(params, buffers, tree.combine(x, integers), key=key, train=True)
            return sum((leaf**2).sum() for leaf in tree.leaves(y)), (y, after)

        return transforms.grad(f, (0, 1), has_aux=True)(params, x)

    def everything(key, states, inputs):
        return [gradient(case, key, *state, x) for case, state, x in zip(cases, states, inputs, strict=True)]

    compiled = transforms.jit(everything)
    assert_trees_close(compiled(key, states, inputs), everything(key, states, inputs))
    other = random.key(8, device=device)
    assert_trees_close(compiled(other, states, inputs), everything(other, states, inputs))
