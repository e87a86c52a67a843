"""Dicts are paired by key, whatever the order of their keys, and the first tree's order is that of the result."""

import copy
from collections import OrderedDict, defaultdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from funcdl import tree
from funcdl.transforms import grad, hessian_vector_product, per_sample_grad, value_and_grad, vmap

many = settings(max_examples=60, deadline=None)


def t(*values):
    return torch.tensor(values, dtype=torch.float64)


# The order of keys.


keys = st.one_of(st.text("abcxyz", min_size=1, max_size=2), st.integers(0, 3))
kinds = st.sampled_from([dict, OrderedDict, lambda pairs: defaultdict(list, pairs)])


def dicts(leaves):
    def containers(children):
        pairs = st.dictionaries(keys, children, max_size=4)
        return st.one_of(
            st.builds(lambda kind, items: kind(items), kinds, pairs), st.lists(children, max_size=3).map(tuple)
        )

    return st.recursive(leaves, containers, max_leaves=10)


def shuffled(whole, draw):
    """The same tree with the keys of its plain dicts in another order."""
    if isinstance(whole, dict):
        items = [(key, shuffled(child, draw)) for key, child in whole.items()]
        items = items if isinstance(whole, OrderedDict) else draw(st.permutations(items))
        return defaultdict(list, items) if isinstance(whole, defaultdict) else type(whole)(items)
    return tuple(shuffled(child, draw) for child in whole) if isinstance(whole, tuple) else whole


def orders(whole):
    if isinstance(whole, dict):
        return [list(whole), *(orders(child) for child in whole.values())]
    return [orders(child) for child in whole] if isinstance(whole, tuple) else []


@given(whole=dicts(st.integers(0, 9)), data=st.data())
@many
def test_results_have_the_order_of_the_first_tree_and_pair_the_others_by_key(whole, data):
    other = shuffled(whole, data.draw)
    before = copy.deepcopy((whole, other))
    assert tree.structure(whole) == tree.structure(other)
    assert hash(tree.structure(whole)) == hash(tree.structure(other))
    for mine, theirs in ((whole, other), (other, whole)):
        paired = tree.map(lambda a, b: (a == b) * (a + 1), mine, theirs)
        assert tree.leaves(paired) == [leaf + 1 for leaf in tree.leaves(mine)]
        named = tree.map_with_path(lambda path, a, b: (path, a, b), mine, theirs)
        chosen, rest = tree.partition(mine, lambda path, leaf: leaf % 2 == 0)
        again = tree.partition(theirs, lambda path, leaf: leaf % 2 == 0)
        results = [
            paired,
            tree.unflatten(tree.structure(mine), tree.leaves(theirs)),
            tree.rebuild(tree.unflatten(tree.structure(mine), range(len(tree.leaves(mine)))), tree.leaves(mine)),
            tree.combine(chosen, rest),
            tree.combine(chosen, again[1]),
            *(tree.at(mine, path).set(leaf) for path, leaf in tree.leaves_with_paths(mine) if unique(mine, path)),
        ]
        assert all(orders(result) == orders(mine) for result in results)
        assert all(result == mine for result in results[1:])
        assert [orders(part) for part in (chosen, rest)] == [orders(mine)] * 2
        assert tree.leaves(tree.map(lambda leaf: leaf, named))[1::3] == tree.leaves(mine)
    assert (whole, other) == before


def unique(whole, path):
    return tree.paths(whole).count(path) == 1 and path not in ("",)


@given(whole=dicts(st.integers(0, 9)), data=st.data())
@many
def test_dynamo_pairs_by_key_as_well(whole, data):
    other = shuffled(whole, data.draw)
    reverse = tree.map(lambda leaf: leaf, _reversed(whole))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.compiler, "is_dynamo_compiling", lambda: True)
        for theirs in (other, reverse):
            paired = tree.map(lambda a, b: (a, b), whole, theirs)
            assert all(a == b for a, b in zip(tree.leaves(paired)[::2], tree.leaves(paired)[1::2], strict=True))
            assert orders(tree.map(lambda a, b: a, whole, theirs)) == orders(whole)


def _reversed(whole):
    """With the keys of all dicts, ordered ones too, in the opposite order."""
    if isinstance(whole, dict):
        items = [(key, _reversed(child)) for key, child in reversed(whole.items())]
        return OrderedDict(items) if isinstance(whole, OrderedDict) else dict(items)
    return tuple(map(_reversed, whole)) if isinstance(whole, tuple) else whole


@pytest.mark.parametrize("other", [{"a": 1, "c": 2}, {"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "b": (2,)}, [1, 2]])
def test_dynamo_refuses_other_keys(other, monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_dynamo_compiling", lambda: True)
    with pytest.raises(ValueError, match=r"tree\.map: tree 1 differs"):
        tree.map(lambda a, b: a, {"a": 1, "b": 2}, other)


def test_raveling_and_stacking_keep_the_order():
    one, other = {"b": t(1.0), "a": {"z": t(2.0), "y": t(3.0)}}, {"a": {"y": t(30.0), "z": t(20.0)}, "b": t(10.0)}
    vector, unravel = tree.ravel(one)
    assert torch.equal(vector, t(3.0, 2.0, 1.0))
    assert orders(unravel(vector)) == orders(one)
    stacked = tree.stack([one, other])
    assert orders(stacked) == orders(one)
    assert torch.equal(stacked["a"]["z"], t([2.0], [20.0]))
    assert [orders(member) for member in tree.unstack(stacked)] == [orders(one)] * 2
    assert orders(tree.zeros_like(other)) == orders(other)


# vmap.


A, B = torch.arange(6.0, dtype=torch.float64).view(2, 3), torch.arange(10.0, 14, dtype=torch.float64).view(2, 2)
DIMS = [{"a": 0, "b": None}, {"b": None, "a": 0}, OrderedDict(b=None, a=0)]
ARGUMENTS = [{"a": A, "b": B}, {"b": B, "a": A}, OrderedDict(b=B, a=A)]


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("argument", ARGUMENTS)
@pytest.mark.parametrize("chunk_size", [None, 1])
def test_vmap_pairs_in_dims_by_key(dims, argument, chunk_size):
    mapped = vmap(lambda p: p["a"].sum() + p["b"], in_dims=(dims,), chunk_size=chunk_size)(argument)
    assert torch.equal(mapped, torch.stack([row.sum() + B for row in A]))


@pytest.mark.parametrize("dims", [{"x": 1, "y": 0}, {"y": 0, "x": 1}])
@pytest.mark.parametrize("order", [("x", "y"), ("y", "x")])
def test_vmap_pairs_out_dims_by_key(dims, order):
    def f(row):
        results = {"x": row, "y": 2 * row}
        return {key: results[key] for key in order}

    mapped = vmap(f, out_dims=dims)(A)
    assert list(mapped) == list(order)
    assert torch.equal(mapped["x"], A.t())
    assert torch.equal(mapped["y"], 2 * A)


def test_vmap_takes_nested_entries_and_prefixes_of_trees():
    whole = {"net": {"w": A, "b": (B, B[0])}, "x": A.t()}
    dims = {"x": -1, "net": {"b": (0, None), "w": 0}}
    mapped = vmap(lambda p: p["net"]["w"] * p["x"] + p["net"]["b"][0].sum() + p["net"]["b"][1].sum(), (dims,))(whole)
    expected = [A[i] * A[i] + B[i].sum() + B[0].sum() for i in range(2)]
    torch.testing.assert_close(mapped, torch.stack(expected))
    prefix = {"x": None, "net": 0}
    mapped = vmap(lambda p, s: (p["net"]["w"].sum() * s, p["x"]), (prefix, None), out_dims=(0, None))
    total, x = mapped({"net": {"w": A, "b": [B]}, "x": A}, 2)
    assert torch.equal(total, 2 * A.sum(1))
    assert torch.equal(x, A)


def test_vmap_takes_numbers_and_nothing_where_they_are_not_mapped():
    mapped = vmap(lambda x, n, nothing, rest: x * n * rest["k"], in_dims=(0, None, None, None))
    assert torch.equal(mapped(A, 2.0, None, {"k": 3, "text": "t"}), 6 * A)
    total, number = vmap(lambda x, n: (x * n, n), in_dims=(0, None), out_dims=(0, None))(A, 2)
    assert torch.equal(total, 2 * A)
    assert number == 2
    assert torch.equal(vmap(lambda x: x, out_dims=(1,))(A), A.t())
    assert torch.equal(vmap(lambda x, scale=1: x * scale)(A, scale=3), 3 * A)


def test_vmaps_within_vmaps():
    inner = vmap(lambda p: p["a"] * p["b"], in_dims=({"b": None, "a": 0},), out_dims=0)
    outer = vmap(inner, in_dims=({"b": 0, "a": None},), out_dims=1)
    assert torch.equal(outer({"a": A[0], "b": B[0]}), A[0].unsqueeze(1) * B[0])


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        (({"a": 0},), r"in_dims\[0\] is a dict of a, expected an int, None, or a dict of a, b"),
        (({"a": 0, "c": 0},), r"in_dims\[0\] is a dict of a, c, expected"),
        (({"a": 0, "b": [0]},), r"in_dims\[0\] at 'b' is a list of 0, expected an int, None, or a tuple of 0, 1"),
        (({"a": 0, "b": (0,)},), r"in_dims\[0\] at 'b' is a tuple of 0, expected .* a tuple of 0, 1"),
        (((0, 0),), r"in_dims\[0\] is a tuple of 0, 1, expected an int, None, or a dict of a, b"),
        (({"a": (0,), "b": 0},), r"in_dims\[0\] at 'a' is a tuple of 0, expected an int or None"),
        (("a",), r"in_dims\[0\] is 'a', expected an int, None, or a dict of a, b"),
        ((0, 0), r"in_dims has 2 entries for 1 arguments; give one for each"),
        ([0], r"in_dims=\[0\]: expected an int for all arguments, or a tuple"),
        (None, r"in_dims=None: expected an int"),
    ],
)
def test_vmap_names_entries_that_do_not_fit(dims, message):
    with pytest.raises(ValueError, match=rf"vmap: {message}"):
        vmap(lambda p: p["a"], in_dims=dims)({"b": (B, B), "a": A})


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        ({"a": 0}, r"out_dims is a dict of a, expected an int, None, or a dict of a, b"),
        ({"a": 0, "b": {"c": 0}}, r"out_dims at 'b' is a dict of c, expected an int or None"),
        ((0, 0), r"out_dims is a tuple of 0, 1, expected"),
    ],
)
def test_vmap_names_results_that_do_not_fit(dims, message):
    with pytest.raises(ValueError, match=rf"vmap: {message}"):
        vmap(lambda x: {"b": x, "a": x}, out_dims=dims)(A)


# Derivatives.


def cubes(p):
    return (p["a"] ** 3).sum() + (p["b"] ** 3).sum() * p["a"][0]


@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_hessian_vector_product_pairs_by_key(kind):
    x = {"b": t(1.0, 2.0), "a": t(3.0, 4.0)}
    vector = kind([("a", t(1.0, 0.0)), ("b", t(0.0, 1.0))])
    product = hessian_vector_product(cubes, x, vector)
    assert list(product) == ["b", "a"]
    flat, unravel = tree.ravel(x)
    expected = torch.func.hessian(lambda flat: cubes(unravel(flat)))(flat) @ t(1.0, 0.0, 0.0, 1.0)
    torch.testing.assert_close(tree.ravel(product)[0], expected)


@pytest.mark.parametrize(
    ("vector", "message"),
    [({"a": t(1.0, 1.0)}, r"missing \['b'\]"), ({"a": t(1.0, 1.0), "c": t(1.0, 1.0)}, r"unexpected \['c'\]")],
)
def test_hessian_vector_product_names_a_vector_that_does_not_fit(vector, message):
    with pytest.raises(ValueError, match=rf"hessian_vector_product: the vector is not a tree like x: .*{message}"):
        hessian_vector_product(cubes, {"b": t(1.0, 2.0), "a": t(3.0, 4.0)}, vector)


@pytest.mark.parametrize("below", [False, True])
def test_gradients_have_the_order_of_their_argument(below):
    def wrap(f):
        return (lambda *args: tree.map(lambda leaf: leaf[0], vmap(f)(*tree.stack([args])))) if below else f

    for x in ({"b": t(1.0, 2.0), "a": t(3.0, 4.0)}, {"a": t(3.0, 4.0), "b": t(1.0, 2.0)}):
        f = value_and_grad(lambda x: (cubes(x), {"z": x["b"], "aux": x["a"]}), has_aux=True)
        (_, aux), gradient = wrap(f)(x)
        assert list(gradient) == list(x)
        assert list(aux) == ["z", "aux"]
        torch.testing.assert_close(gradient["b"], 3 * x["b"] ** 2 * x["a"][0])
        each = per_sample_grad(lambda p, s: s["one"] * cubes(p) + s["two"])(x, {"two": t(1.0, 2.0), "one": t(1.0, 3.0)})
        assert list(each) == list(x)
        torch.testing.assert_close(each["b"][1], 3 * gradient["b"])
        assert list(grad(lambda p, q: cubes(p) * cubes(q), (0, 1))(x, x)[1]) == list(x)
