"""Trees with nothing in them, registered nodes, keys of any kind; functions that write; checkpoints of all of these."""

import dataclasses
from collections import OrderedDict, defaultdict, deque
from typing import NamedTuple

import optree
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from funcdl import interop, nn, optim, random, train, tree
from funcdl.transforms import grad, hessian_vector_product, jit, per_sample_grad, value_and_grad, vmap
from tests.compile_with import compile_with

GLOBAL = optree.registry.__GLOBAL_NAMESPACE
many = settings(max_examples=60, deadline=None)


@optree.dataclasses.dataclass(namespace="")
class Params:
    weight: object
    bias: object = None
    name: str = optree.dataclasses.field(default="net", pytree_node=False)


@dataclasses.dataclass
class Span:
    """Registered by functions, with entries of its own."""

    low: object
    high: object
    unit: str = "m"


optree.register_pytree_node(
    Span,
    lambda span: ((span.high, span.low), span.unit, ("high", "low")),
    lambda unit, parts: Span(parts[1], parts[0], unit),
    namespace=GLOBAL,
)


@optree.register_pytree_node_class(namespace=GLOBAL)
class Bag:
    """Registered as a class, without names for its parts."""

    def __init__(self, *parts):
        self.parts = parts

    def __eq__(self, other):
        return type(other) is Bag and self.parts == other.parts

    def __tree_flatten__(self):
        return self.parts, None

    @classmethod
    def __tree_unflatten__(cls, metadata, children):
        return cls(*children)


class Pair(NamedTuple):
    first: object
    second: object


def t(*values):
    return torch.tensor(values, dtype=torch.float64)


def example():
    return {
        "net": Params(t(1.0, 2.0), None),
        "span": Span({"b": t(3.0), "a": None}, Bag(t(4.0), (t(5.0), [None]))),
        2: deque([t(6.0), None], maxlen=4),
        10: defaultdict(list, {1: t(7.0), 0: t(8.0)}),
        "nothing": None,
        "pair": Pair(None, t(9.0)),
        "found": torch.return_types.max((t(10.0), t(11.0))),
    }


PATHS = [
    "2.0", "10.0", "10.1", "found.values", "found.indices", "net.weight", "pair.second", "span.high.0", "span.high.1.0",
    "span.low.b",
]  # fmt: skip


def test_paths_and_leaves():
    whole = example()
    assert tree.paths(whole) == PATHS
    assert tree.leaves(whole) == [leaf for _, leaf in tree.leaves_with_paths(whole)] == optree.tree_leaves(whole)
    assert tree.paths(Params(1, 2)) == ["weight", "bias"]
    assert tree.paths(Bag(1, (2,))) == ["0", "1.0"]
    assert tree.paths(torch.Size([2])) == [""]  # a leaf for optree
    assert tree.leaves(None) == tree.paths(None) == []


def same(one, other):
    assert type(one) is type(other)
    assert tree.structure(one) == tree.structure(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
    mine, theirs = tree.children(one), tree.children(other)
    if mine is None:
        assert one is other or (one == other if not isinstance(one, torch.Tensor) else torch.equal(one, other))
    for (key, part), (other_key, other_part) in zip(mine or (), theirs or (), strict=True):
        assert key == other_key
        same(part, other_part)


keys = st.one_of(st.text("ab.", max_size=3), st.integers(0, 2), st.booleans(), st.none())


def trees():
    def containers(children):
        pairs = st.dictionaries(keys, children, max_size=3)
        rows = st.lists(children, max_size=3)
        return st.one_of(
            pairs,
            pairs.map(OrderedDict),
            pairs.map(lambda items: defaultdict(list, items)),
            rows,
            rows.map(tuple),
            rows.map(deque),
            rows.map(lambda parts: Bag(*parts)),
            st.builds(Pair, children, children),
            st.builds(Params, children, children, st.sampled_from(["x", "y"])),
            st.builds(Span, children, children, st.sampled_from(["m", "s"])),
        )

    return st.recursive(st.one_of(st.integers(0, 9), st.none()), containers, max_leaves=10)


@given(any_tree=trees(), dynamo=st.booleans())
@many
def test_every_function_agrees_with_optree(any_tree, dynamo):
    with pytest.MonkeyPatch.context() as patch:
        expected, spec = optree.tree_flatten(any_tree)
        patch.setattr(torch.compiler, "is_dynamo_compiling", lambda: dynamo)
        leaves, structure = tree.flatten(any_tree)
        assert leaves == expected == [leaf for _, leaf in tree.leaves_with_paths(any_tree)]
        same(tree.unflatten(structure, leaves), any_tree)
        same(tree.rebuild(optree.tree_unflatten(spec, range(len(leaves))), leaves), any_tree)
        same(tree.map(lambda a, b: (a, b)[1], any_tree, any_tree), any_tree)
        same(tree.combine(*tree.partition(any_tree, lambda path, leaf: leaf % 2 == 0)), any_tree)
        same(tree.combine(*reversed(tree.partition(any_tree, lambda path, leaf: "a" in path))), any_tree)


@given(any_tree=trees())
@many
def test_each_path_leads_to_its_leaf_or_is_refused(any_tree):
    pairs = tree.leaves_with_paths(any_tree)
    for position, (path, leaf) in enumerate(pairs):
        try:
            found = tree.at(any_tree, path).get()
        except KeyError as error:
            assert "places" in str(error)  # noqa: PT017
            with pytest.raises(KeyError, match="places"):
                tree.at(any_tree, path).set(0)
            continue
        assert found is leaf
        expected = [leaf + 100 * (i == position) for i, (_, leaf) in enumerate(pairs)]
        same(
            tree.at(any_tree, path).apply(lambda leaf: leaf + 100),
            tree.unflatten(tree.structure(any_tree), expected),
        )


def test_paths_of_keys_with_dots_lead_to_their_leaf():
    whole = {"a.b": {"c.d": 1, "e": 2}, "a": {"b.c": 3}, "": {"x": 4, "": 5}, 7: [6]}
    assert tree.paths(whole) == [".", ".x", "a.b.c", "a.b.c.d", "a.b.e", "7.0"] or len(tree.paths(whole)) == 6
    for path, leaf in tree.leaves_with_paths(whole):
        assert tree.at(whole, path).get() == leaf
        assert tree.at(tree.at(whole, path).set(-1), path).get() == -1
    assert tree.at(3, "").get() == 3
    assert tree.at(3, "").set(4) == 4


@pytest.mark.parametrize(
    ("whole", "path"),
    [({"a.b": 1, "a": {"b": 2}}, "a.b"), ({0: 1, "0": 2}, "0"), ({"x": {1: 1, "1": (2,)}}, "x.1")],
)
def test_a_path_to_two_places_is_refused(whole, path):
    with pytest.raises(KeyError, match=rf"tree\.at: '{path}' leads to 2 places"):
        tree.at(whole, path).get()


def test_two_leaves_of_one_name_are_refused_where_names_are_kept(tmp_path):
    for values in ({"a.b": t(1.0), "a": {"b": t(2.0)}}, {"a.b": t(1.0), "a": OrderedDict(b=t(2.0))}):
        with pytest.raises(ValueError, match=r"to_state_dict: expected each name once, got a\.b twice in params"):
            interop.to_state_dict(values)
        with pytest.raises(ValueError, match="twice in buffers"):
            interop.to_state_dict({}, values)
        with pytest.raises(ValueError, match=r"the path 'a\.b' is taken"):
            train.save(tmp_path, values)
    with pytest.raises(ValueError, match="is taken"):
        train.save(tmp_path, {0: t(1.0), "0": t(2.0)})
    with pytest.raises(ValueError, match="is taken"):
        train.save(tmp_path, OrderedDict([("value", t(1.0)), ("", t(2.0))]))


def test_a_module_as_a_function_pairs_its_values_by_name():
    module = torch.nn.Linear(2, 2, device="meta").to_empty(device="cpu")
    layer, params, _ = interop.from_module(module)
    params = tree.map(lambda leaf: torch.arange(1.0, 1 + leaf.numel()).view(leaf.shape), params)
    x = torch.ones(1, 2)
    for order in (OrderedDict(weight=params["weight"], bias=params["bias"]), OrderedDict(reversed(params.items()))):
        assert torch.equal(layer(order, x), layer(params, x))
    with pytest.raises(ValueError, match="expected the module's parameters, got none called weight"):
        layer({"bias": params["bias"], "w": params["weight"]}, x)


# Derivatives and batching over them.


def total(whole):
    return sum(((leaf**3).sum() for leaf in tree.leaves(whole)), start=t(0.0)[0])


def cubed(whole):
    return tree.map(lambda leaf: 3 * leaf**2, whole)


@pytest.mark.parametrize("below", [False, True])
def test_gradients_of_any_tree(below):
    """By plain autograd, and by torch.func where another transform is under way."""

    def run(f, *args):
        return tree.map(lambda leaf: leaf[0], vmap(f)(*tree.stack([args]))) if below else f(*args)

    whole = example()
    close(run(grad(total), whole), cubed(whole))
    close(run(grad(lambda a, b: total(a) + 2 * total(b), (1, 0)), whole, None), (None, cubed(whole)))
    f = value_and_grad(lambda whole, more: (total(whole), {"aux": whole, "none": None, "more": more}), has_aux=True)
    (value, aux), gradient = run(f, whole, Bag(t(1.0), None))
    torch.testing.assert_close(value, total(whole))
    close(aux, {"aux": whole, "none": None, "more": Bag(t(1.0), None)})
    close(gradient, cubed(whole))
    close(run(lambda whole: hessian_vector_product(total, whole, whole), whole), tree.map(lambda x: 6 * x * x, whole))
    each = run(per_sample_grad(lambda whole, sample: sample["scale"] * total(whole)), whole, {"scale": t(1.0, 2.0)})
    close(tree.map(lambda leaf: leaf[1], each), tree.map(lambda leaf: 2 * leaf, cubed(whole)))


def close(one, other):
    assert tree.structure(one) == tree.structure(other)
    torch.testing.assert_close(tree.leaves(one), tree.leaves(other))


def test_vmap_of_any_tree():
    members = [example(), tree.map(torch.neg, example())]
    stacked = tree.stack(members)
    close(vmap(lambda whole: tree.map(torch.square, whole))(stacked), tree.map(torch.square, stacked))
    dims = (Params(0, None), Bag(None, (0, [None])), None)
    mapped = vmap(lambda p, bag, nothing: (p.weight * bag.parts[0] + bag.parts[1][0], nothing), in_dims=dims)
    result, nothing = mapped(Params(t(1.0, 2.0), None), Bag(t(3.0), (t(4.0, 5.0), [None])), None)
    torch.testing.assert_close(result, t([7.0], [11.0]))
    assert nothing is None
    assert vmap(lambda x: None)(t(1.0)) is None
    moved = vmap(lambda x: Span(x, None), out_dims=Span(1, None))(torch.ones(2, 3))
    assert moved.low.shape == (3, 2)
    with pytest.raises(
        ValueError, match=r"in_dims\[0\] is a Bag of 0, expected an int, None, or a Params of weight, b"
    ):
        vmap(lambda p: p.weight, in_dims=(Bag(0),))(Params(t(1.0)))


def test_compiled_functions_of_any_tree(monkeypatch):
    compile_with("aot_eager", monkeypatch)
    optimizer = optim.adam(lr=0.1)

    def step(whole, state):
        value, grads = value_and_grad(total)(whole)
        updates, state = optimizer.update(grads, state, whole)
        return optim.apply_updates(whole, updates), state, {"value": value, "none": None}

    whole, compiled = tree.at(example(), "span.low").set(t(3.0)), jit(step)
    expected = results = whole, optimizer.init(whole), None
    for _ in range(2):
        expected, results = step(*expected[:2]), compiled(*results[:2])
        close(results, expected)
    assert isinstance(results[0]["net"], Params)
    assert results[0]["net"].name == "net"


def test_dynamo_takes_any_tree():
    def f(whole):
        doubled = tree.map(lambda a, b: a + b, whole, whole)
        vector, unravel = tree.ravel(doubled)
        return doubled, unravel(vector), tree.at(whole, "span.high.0").set(None), dict(tree.leaves_with_paths(whole))

    whole = {**{key: part for key, part in example().items() if key != "found"}, 2: deque([t(6.0), None])}
    close(torch.compile(f, fullgraph=True, backend="eager")(whole), f(whole))


def test_optimizers_and_layers_take_nothing_for_a_parameter():
    params = {"b": None, "w": t(1.0, 2.0)}
    for optimizer in (optim.adam(0.1), optim.flatten(optim.sgd(0.1)), optim.masked(optim.sgd(0.1), "w"), optim.lbfgs()):
        state = optimizer.init(params)
        updates, state = optimizer.update(params, state, params, value=t(1.0)[0], value_fn=lambda p: total(p))
        assert updates["b"] is None
        assert optim.apply_updates(params, updates)["b"] is None
    labelled = optim.partition({"x": optim.sgd(0.1)}, {"*": "x"})
    assert labelled.update(params, labelled.init(params), params)[0]["b"] is None


# What is refused by name.


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"w": t(1.0), "n": 3}, r"grad: 'n' of argument 0 is 3 of type int, expected a floating-point tensor"),
        ({"w": [t(1.0), "x"]}, r"grad: 'w\.1' of argument 0 is 'x' of type str"),
        ({"w": torch.tensor([1])}, r"grad: 'w' of argument 0 is a tensor of dtype torch.int64, expected"),
        (Params(t(1.0), True), r"grad: 'bias' of argument 0 is True of type bool"),
        (2.5, r"grad: argument 0 is 2\.5 of type float"),
    ],
)
@pytest.mark.parametrize("below", [False, True])
def test_what_has_no_gradient_is_named(params, message, below):
    def f(x):
        for derivative in (grad(total), value_and_grad(total), lambda p: hessian_vector_product(total, p, p)):
            with pytest.raises(TypeError, match=message):
                derivative(params)
        with pytest.raises(TypeError, match=message.replace("argument 0", "argument 1")):
            grad(lambda x, p: total(p), 1)(x, params)
        return x

    vmap(f)(t(1.0)) if below else f(t(1.0))


@pytest.mark.parametrize(
    ("aux", "message"),
    [
        ({"n": 3}, r"grad: 'n' of aux is 3 of type int, expected a tensor; wrap it"),
        ((None, [1.5]), r"grad: '1\.0' of aux is 1\.5 of type float"),
        ("text", r"grad: aux is 'text' of type str"),
    ],
)
@pytest.mark.parametrize("below", [False, True])
def test_aux_that_is_no_tensor_is_named(aux, message, below):
    def f(x):
        with pytest.raises(TypeError, match=message):
            grad(lambda x: (x.sum(), aux), has_aux=True)(x)
        return x

    vmap(f)(t(1.0)) if below else f(t(1.0))


def writes_mean(w, stats):
    stats["mean"].mul_(0.9).add_(0.1 * w.detach())
    return ((w - stats["mean"]) ** 2).sum()


def writes_view(w, stats):
    stats["mean"][0] = 1.0
    return (w * stats["mean"]).sum()


def writes_itself(w, stats):
    w.mul_(2)
    return (w**2).sum()


def writes_itself_unseen(w, stats):
    with torch.no_grad():
        w.mul_(2)
    return (w**2).sum()


def writes_part_of_itself(w, stats):
    w[0] = 0.0
    return (w**2).sum()


def writes_a_clone(w, stats):
    mean = stats["mean"].clone()
    mean.mul_(0.9).add_(0.1 * w)
    w = w.clone()
    w[0] = 0.0
    return ((w - mean) ** 2).sum()


WRITERS = [writes_mean, writes_view, writes_itself, writes_itself_unseen, writes_part_of_itself]
PLACES = {
    "alone": lambda f, w, stats: f(w, stats),
    "vmap": lambda f, w, stats: vmap(f)(w[None], tree.map(lambda leaf: leaf[None].clone(), stats)),
    "grad": lambda f, w, stats: grad(lambda w: f(w, stats).sum())(w),
    "jvp": lambda f, w, stats: torch.func.jvp(lambda w: f(w, stats), (w,), (w.clone(),)),
    "jit": lambda f, w, stats: jit(f)(w, stats),
    "recorded": lambda f, w, stats: f(w.clone().requires_grad_(), stats),
    "keyword": lambda f, w, stats: f(w, stats=stats),
    "hessian_vector_product": lambda f, w, stats: hessian_vector_product(lambda w: f(w, stats).sum(), w, w.clone()),
    "per_sample_grad": lambda f, w, stats: per_sample_grad(lambda w, s: f(w, s).sum())(
        w, {"mean": stats["mean"][None]}
    ),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("f", WRITERS)
def test_a_function_that_writes_into_its_arguments_is_refused(f, place):
    with pytest.raises(
        ValueError,
        match=r"grad: f writes into (its argument '(0|1\.mean|stats\.mean)'|a tensor that it did not create)",
    ):
        place(grad(f), t(1.0, 2.0), {"mean": t(0.5, 0.5)})


@pytest.mark.parametrize("place", [name for name in PLACES if name != "jit"])
def test_a_function_that_writes_into_a_clone_is_not(place):
    w, stats = t(1.0, 2.0), {"mean": t(0.5, 0.5)}
    PLACES[place](grad(writes_a_clone), w, stats)
    assert torch.equal(w, t(1.0, 2.0))
    assert torch.equal(stats["mean"], t(0.5, 0.5))
    torch.testing.assert_close(grad(writes_a_clone)(w, stats), t(0.11, 2 * 0.9 * (2 - 0.65)))


# Checkpoints.


def bits(leaf):
    return leaf.contiguous().reshape(-1).view(torch.uint8)


DTYPES = [
    torch.complex128, torch.complex64, torch.complex32, torch.bfloat16, torch.float16, torch.float64, torch.bool,
    torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.float8_e4m3fn, torch.float8_e5m2,
    torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu, torch.float4_e2m1fn_x2,
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_leaves_of_every_dtype_come_back(dtype, tmp_path):
    size = dtype.itemsize
    raw = (torch.arange(6 * size) % 2).to(torch.uint8)
    filled = raw.view(dtype).reshape(2, 3)
    values = {"matrix": filled, "transposed": filled.T, "scalar": filled[0, 0], "empty": filled[:0]}
    train.save(tmp_path, values)
    loaded, _ = train.load(tmp_path, tree.map(torch.empty_like, values))
    for name, leaf in values.items():
        assert (loaded[name].dtype, loaded[name].shape) == (dtype, leaf.shape)
        assert torch.equal(bits(loaded[name]), bits(leaf))
    with pytest.raises(train.CheckpointError, match="at 'matrix'"):
        train.load(tmp_path, {**values, "matrix": torch.zeros(2, 3, 2, dtype=torch.int32)})


def test_conjugates_and_negatives_are_saved_as_they_read(tmp_path):
    z = torch.tensor([1 + 2j, 3 - 4j], dtype=torch.complex128)
    values = {"conj": z.conj(), "imag": z.conj().imag, "single": z.to(torch.complex64).conj()}
    train.save(tmp_path, values)
    close(train.load(tmp_path, values)[0], values)


def test_checkpoints_of_any_tree(tmp_path):
    whole = example()
    train.save(tmp_path, whole)
    other = {key: tree.map(torch.zeros_like, whole[key]) for key in reversed(whole)}
    loaded, _ = train.load(tmp_path, other)
    close(loaded, whole)
    same(loaded, {key: loaded[key] for key in other})
    assert list(loaded[10]) == list(whole[10])
    assert isinstance(loaded["net"], Params)
    numbered = {0: t(1.0), 1: {"x": t(2.0)}, "y": None}
    train.save(tmp_path, numbered)
    close(train.load(tmp_path, {"y": None, 1: {"x": t(0.0)}, 0: t(0.0)})[0], numbered)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"p": Bag(t(1.0), None)}, r"at 'p' it has a Params of bias, weight, expected a Bag of 0, 1"),
        ({"p": Params(t(1.0), t(2.0))}, r"at 'p\.bias' it has a NoneType of nothing, expected float64 \(1,\)"),
        ({"p": None}, r"at 'p' it has a Params of bias, weight, expected a NoneType of nothing"),
    ],
)
def test_other_containers_are_named(wanted, message, tmp_path):
    train.save(tmp_path, {"p": Params(t(1.0), None)})
    with pytest.raises(train.CheckpointError, match=message):
        train.load(tmp_path, wanted)


def test_what_a_checkpoint_cannot_hold_is_named(tmp_path):
    with pytest.raises(TypeError, match=r"checkpoint\.save: 'n\.0' is 3 of type int; expected a tensor"):
        train.save(tmp_path, {"n": [3]})
    with pytest.raises(ValueError, match=r"checkpoint\.save: safetensors has no torch\.bits8"):
        train.save(tmp_path, {"n": torch.zeros(2, dtype=torch.uint8).view(torch.bits8)})


def test_a_state_dict_of_registered_nodes():
    params = {"net": Params(torch.ones(2), None), "rows": [torch.zeros(1), None]}
    assert list(interop.to_state_dict(params)) == ["net.weight", "rows.0"]
    again, _ = interop.from_state_dict(interop.to_state_dict(tree.map(torch.neg, params)), params)
    close(again, tree.map(torch.neg, params))


def test_a_layer_takes_nothing_among_its_inputs():
    layer = nn.serial(nn.stateless(lambda x: x["x"] if x["mask"] is None else x["x"] * x["mask"]), nn.linear(2))
    params, _ = layer.init(random.key(0), {"x": torch.ones(1, 3), "mask": None})
    assert layer(params, {"x": torch.ones(1, 3), "mask": None}).shape == (1, 2)
