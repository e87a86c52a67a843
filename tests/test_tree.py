"""Trees: every function, in eager code and inside a Dynamo trace, on named examples and on random nested trees."""

import copy
from collections import OrderedDict, deque
from typing import NamedTuple

import optree
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from funcdl import tree
from funcdl.transforms import jit


class Pair(NamedTuple):
    first: object
    second: object


class Single(NamedTuple):
    only: object


def t(*values, dtype=torch.float32):
    return torch.tensor(values, dtype=dtype)


def example():
    return {
        "pair": Pair({"w": t(1.0, 2.0)}, [t(3.0), ()]),
        "empty": {},
        "nothing": (),
        "deep": {"b": {"none": {}}, "a": (t(4.0), [t(5.0)])},
        "ordered": OrderedDict(z=t(6.0), y=t(7.0)),
    }


PATHS = ["deep.a.0", "deep.a.1.0", "ordered.z", "ordered.y", "pair.first.w", "pair.second.0"]
VALUES = [[4.0], [5.0], [6.0], [7.0], [1.0, 2.0], [3.0]]


def same(one, other):
    """The same containers, keys in the same order, with the same leaves in them."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, (tuple, list)):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            same(left, right)
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    else:
        assert one == other


# Random nested trees, of tensors and of numbers.

keys = st.text("abcXYZ_09", min_size=1, max_size=3)
tensors = st.builds(
    lambda shape, dtype: torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from([torch.float32, torch.float64, torch.int32]),
)


def trees(leaves):
    def containers(children):
        return st.one_of(
            st.dictionaries(keys, children, max_size=4),
            st.dictionaries(keys, children, max_size=3).map(lambda d: OrderedDict(reversed(d.items()))),
            st.lists(children, max_size=3),
            st.lists(children, max_size=3).map(tuple),
            st.builds(Pair, children, children),
            st.builds(Single, children),
        )

    return st.recursive(leaves, containers, max_leaves=12)


numbers = trees(st.integers(0, 9))
many = settings(max_examples=100, deadline=None)


@given(any_tree=numbers)
@many
def test_flatten_and_unflatten_are_inverse_and_in_the_order_of_optree(any_tree):
    before = copy.deepcopy(any_tree)
    leaves, structure = tree.flatten(any_tree)
    assert leaves == optree.tree_leaves(any_tree) == tree.leaves(any_tree)
    assert structure == tree.structure(any_tree)
    same(tree.unflatten(structure, leaves), any_tree)
    assert [leaf for _, leaf in tree.leaves_with_paths(any_tree)] == leaves
    assert tree.paths(any_tree) == [path for path, _ in tree.leaves_with_paths(any_tree)]
    same(any_tree, before)


@given(any_tree=numbers, other=numbers)
@settings(max_examples=300, deadline=None)
def test_flattening_as_a_structure_is_flattening_where_it_fits(any_tree, other):
    leaves, structure = tree.flatten(any_tree)
    assert tree.flatten_as(structure, any_tree) == tree.flatten_up_to(structure, any_tree) == leaves
    if tree.structure(plain(other)) == tree.structure(plain(any_tree)):
        named = dict(tree.leaves_with_paths(other))
        assert tree.flatten_as(structure, other) == [named[path] for path in tree.paths(any_tree)]
    else:
        assert tree.flatten_as(structure, other) is None


def plain(any_tree):
    """The tree with plain dicts in place of ordered ones."""
    if isinstance(any_tree, dict):
        return {key: plain(child) for key, child in any_tree.items()}
    if tree.is_namedtuple(any_tree):
        return type(any_tree)(*map(plain, any_tree))
    return type(any_tree)(map(plain, any_tree)) if isinstance(any_tree, (list, tuple)) else any_tree


def test_a_size_is_a_leaf_and_a_deque_is_none():
    assert tree.map(lambda a, size: size, {"a": 1}, {"a": torch.Size([2])}) == {"a": torch.Size([2])}
    with pytest.raises(ValueError, match=r"tree\.map: tree 1 differs"):
        tree.map(lambda a, b: b, {"a": 1}, {"a": deque([2])})


@given(any_tree=numbers)
@many
def test_a_trace_sees_the_tree_as_eager_code_does(any_tree):
    with pytest.MonkeyPatch.context() as monkeypatch:
        eager, structure = tree.flatten(any_tree)
        monkeypatch.setattr(torch.compiler, "is_dynamo_compiling", lambda: True)
        leaves, skeleton = tree.flatten(any_tree)
        assert leaves == eager
        same(tree.unflatten(skeleton, leaves), any_tree)
        same(tree.map(lambda leaf: leaf + 1, any_tree), optree.tree_map(lambda leaf: leaf + 1, any_tree))
        monkeypatch.undo()
        same(tree.rebuild(tree.unflatten(structure, range(len(leaves))), leaves), any_tree)


@given(any_tree=numbers)
@many
def test_map_and_map_with_path_meet_each_leaf_with_its_path(any_tree):
    doubled = tree.map(lambda leaf, other: leaf + other, any_tree, any_tree)
    same(doubled, optree.tree_map(lambda leaf: 2 * leaf, any_tree))
    seen = []
    labelled = tree.map_with_path(lambda path, leaf, other: seen.append(path) or (f"{path}={leaf}"), any_tree, any_tree)
    assert seen == tree.paths(any_tree)
    assert tree.leaves(labelled) == [f"{path}={leaf}" for path, leaf in tree.leaves_with_paths(any_tree)]


@given(any_tree=numbers)
@many
def test_combine_undoes_partition(any_tree):
    chosen, others = tree.partition(any_tree, lambda path, leaf: leaf % 2 == 0)
    assert tree.leaves(chosen) == [leaf for leaf in tree.leaves(any_tree) if leaf % 2 == 0]
    assert tree.leaves(others) == [leaf for leaf in tree.leaves(any_tree) if leaf % 2]
    same(tree.combine(chosen, others), any_tree)
    same(tree.combine(others, chosen), any_tree)
    by_path, _ = tree.partition(any_tree, lambda path, leaf: "a" in path)
    expected = [leaf for path, leaf in tree.leaves_with_paths(any_tree) if "a" in path]
    assert tree.leaves(by_path) == expected


@given(any_tree=numbers)
@many
def test_at_reads_and_replaces_each_leaf(any_tree):
    before = copy.deepcopy(any_tree)
    pairs = tree.leaves_with_paths(any_tree)
    for position, (path, leaf) in enumerate(pairs):
        if path:  # a bare leaf has no path to go by
            assert tree.at(any_tree, path).get() == leaf
            changed = tree.at(any_tree, path).apply(lambda value: value + 100)
            expected = [leaf + 100 * (i == position) for i, (_, leaf) in enumerate(pairs)]
            same(changed, tree.unflatten(tree.structure(any_tree), expected))
    same(any_tree, before)


@given(any_tree=trees(tensors))
@many
def test_ravel_round_trip(any_tree):
    vector, unravel = tree.ravel(any_tree)
    assert vector.shape == (tree.size(any_tree),)
    same(unravel(vector), any_tree)
    same(unravel(2 * vector), tree.map(lambda leaf: 2 * leaf, any_tree))


@given(any_tree=trees(tensors), count=st.integers(1, 3))
@many
def test_unstack_undoes_stack(any_tree, count):
    members = [tree.map(lambda leaf: leaf + i, any_tree) for i in range(count)]  # noqa: B023 (called at once)
    stacked = tree.stack(members)
    assert [leaf.shape for leaf in tree.leaves(stacked)] == [(count, *leaf.shape) for leaf in tree.leaves(any_tree)]
    if tree.leaves(any_tree):
        for member, again in zip(members, tree.unstack(stacked), strict=True):
            same(again, member)


# Named examples.


def test_paths_and_leaves_of_the_example():
    assert tree.paths(example()) == PATHS
    assert [leaf.tolist() for leaf in tree.leaves(example())] == VALUES
    assert tree.leaves_with_paths(t(1.0))[0][0] == ""


def test_dicts_keep_their_own_order_of_keys_and_do_not_depend_on_it():
    one, other = {"b": 1, "a": {"z": 2, "y": 3}}, {"a": {"y": 30, "z": 20}, "b": 10}
    same(tree.map(lambda a, b: a + b, one, other), {"b": 11, "a": {"z": 22, "y": 33}})
    assert tree.structure(one) == tree.structure(other)
    same(tree.combine(*tree.partition(one, lambda path, leaf: leaf > 2)), one)


def test_structures_differ_by_container_and_key():
    shapes = [(1, 2), [1, 2], Pair(1, 2), {"a": 1, "b": 2}, {"a": 1, "c": 2}, (1, (2,)), 1, (1, 2, {}), {"a": 1}]
    for i, one in enumerate(shapes):
        for j, other in enumerate(shapes):
            assert (tree.structure(one) == tree.structure(other)) == (i == j)


def test_none_is_an_empty_subtree():
    assert tree.leaves({"a": None, "b": 1}) == [1]


def test_at_addresses_subtrees_lists_and_named_tuples():
    whole = example()
    assert tree.at(whole, "pair.second").get() is whole["pair"].second
    changed = tree.at(whole, "pair").set("gone")
    same({**whole, "pair": "gone"}, changed)
    same(tree.at(whole, "pair.second.1").set({"new": 1})["pair"].second, [t(3.0), {"new": 1}])
    assert isinstance(tree.at(whole, "pair.first").set(0)["pair"], Pair)
    same(whole, example())


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing", r"tree\.at: no 'missing' in the tree, which has deep, empty, nothing, ordered, pair"),
        ("pair.third", r"tree\.at: no 'third' in 'pair', which has first, second"),
        ("deep.a.7.w", r"tree\.at: no '7' in 'deep\.a', which has 0, 1"),
        ("pair.first.w.x", r"tree\.at: no 'x' in 'pair\.first\.w', which has no children"),
        ("", r"tree\.at: no '' in the tree"),
    ],
)
def test_at_names_a_wrong_path(path, message):
    with pytest.raises(KeyError, match=message):
        tree.at(example(), path).get()
    with pytest.raises(KeyError, match=message):
        tree.at(example(), path).set(1)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"a": 1}, r"tree\.map: tree 1 differs from the first one: missing \['b\.0'\], unexpected nothing"),
        ({"a": 1, "b": (2,), "c": 3}, r"missing nothing, unexpected \['c'\]"),
        ({"a": 1, "c": (2,)}, r"missing \['b\.0'\], unexpected \['c\.0'\]"),
        ({"a": 1, "b": [2]}, r"the same paths in containers of other types"),
        ({"a": {"x": 1}, "b": (2,)}, r"missing \['a'\], unexpected \['a\.x'\]"),
    ],
)
def test_map_names_the_difference(other, message):
    with pytest.raises(ValueError, match=message):
        tree.map(lambda a, b: a, {"a": 1, "b": (2,)}, other)
    with pytest.raises(ValueError, match=r"tree\.map: tree 2 differs"):
        tree.map(lambda a, b, c: a, {"a": 1, "b": (2,)}, {"a": 1, "b": (2,)}, other)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"a": 1, "b": 2}, {"a": (), "b": 3}, r"tree\.combine: both trees have something at 'b'"),
        ({"a": {"x": 1}}, {"a": {"y": 1}}, r"both trees have something at 'a'; they must come from one partition\(\)"),
        ([1], [1, 2], r"tree\.combine: both trees have something at ''"),
    ],
)
def test_combine_refuses_two_leaves_at_one_place(first, second, message):
    with pytest.raises(ValueError, match=message):
        tree.combine(first, second)


def test_stack_refuses_members_of_other_structure():
    with pytest.raises(ValueError, match=r"tree\.map: tree 1 differs"):
        tree.stack([{"w": t(1.0)}, {"v": t(1.0)}])


def test_ravel_promotes_and_gives_each_leaf_its_dtype_again():
    vector, unravel = tree.ravel({"a": t(1, dtype=torch.int64), "b": t(2.5, dtype=torch.float64), "c": {}})
    assert vector.dtype == torch.float64
    same(unravel(vector), {"a": t(1, dtype=torch.int64), "b": t(2.5, dtype=torch.float64), "c": {}})
    empty, unravel = tree.ravel({"nothing": {}})
    assert empty.shape == (0,)
    assert unravel(empty) == {"nothing": {}}


def test_gradient_and_map_through_ravel():
    params = {"w": torch.arange(4.0).view(2, 2), "b": t(1.0), "empty": {}}
    vector, unravel = tree.ravel(params)
    gradient = torch.func.grad(lambda v: (unravel(v)["w"] ** 2).sum() + 3 * unravel(v)["b"].sum())(vector)
    same(unravel(gradient), {"w": 2 * params["w"], "b": t(3.0), "empty": {}})
    stacked = torch.func.vmap(unravel, in_dims=1)(torch.stack([vector, 2 * vector], dim=1))
    same(tree.unstack(stacked)[1], tree.map(lambda leaf: 2 * leaf, params))


def test_size_zeros_like_and_global_norm(device):
    whole = {"a": torch.full((2, 2), 3.0, device=device), "b": [t(8.0).to(device), {}]}
    assert tree.size(whole) == 5
    same(tree.zeros_like(whole), {"a": torch.zeros(2, 2, device=device), "b": [torch.zeros(1, device=device), {}]})
    assert tree.global_norm(whole) == 10.0
    torch.testing.assert_close(tree.global_norm(whole), torch.nn.utils.get_total_norm(tree.leaves(whole)))
    assert tree.global_norm({}) == 0.0
    assert tree.size({}) == 0
    assert tree.leaves(tree.zeros_like({"k": t(1, dtype=torch.int64)}))[0].dtype == torch.int64


def test_is_namedtuple():
    assert tree.is_namedtuple(Pair(1, 2))
    assert not any(tree.is_namedtuple(other) for other in [(1, 2), [1], {"a": 1}, t(1.0), 3, Pair])


def test_every_function_inside_a_trace():
    """What is traced by Dynamo has no optree in it; the results must be what eager code computes."""
    _, unravel_outside = tree.ravel(example())

    def everything(whole, members):
        leaves, structure = tree.flatten(whole)
        chosen, others = tree.partition(whole, lambda path, leaf: path.startswith("deep") or path.endswith("w"))
        vector, unravel = tree.ravel(whole)
        return {
            "flatten": leaves,
            "leaves": tree.leaves(whole),
            "unflatten": tree.unflatten(structure, [leaf + 1 for leaf in leaves]),
            "map": tree.map(lambda a, b: a + b, whole, whole),
            "with_path": tree.map_with_path(lambda path, leaf: leaf * len(path), whole),
            "paths": dict(zip(tree.paths(whole), leaves, strict=True)),
            "pairs": dict(tree.leaves_with_paths(whole)),
            "parts": [chosen, others, tree.combine(chosen, others)],
            "at": [
                tree.at(whole, "pair.first.w").get(),
                tree.at(whole, "deep.a.1").set({}),
                tree.at(whole, "ordered.y").apply(torch.neg),
            ],
            "ravel": [vector, unravel(2 * vector), unravel_outside(3 * vector)],
            "stack": tree.stack(members),
            "unstack": tree.unstack(tree.stack(members)),
            "size": vector + tree.size(whole),
            "zeros": tree.zeros_like(whole),
            "norm": [tree.global_norm(whole), tree.global_norm({})],
        }

    members = [{"w": t(1.0), "empty": {}}, {"w": t(2.0), "empty": {}}]
    traced = torch.compile(everything, fullgraph=True, backend="eager", dynamic=False)(example(), members)
    same(traced, everything(example(), members))


@pytest.mark.parametrize("other", [{"a": 1}, {"a": 1, "c": 2}, {"a": 1, "b": (2,)}])
def test_map_refuses_another_structure_before_anything_is_traced(other):
    one, other = (tree.map(torch.tensor, part) for part in ({"a": 1, "b": 2}, other))
    with pytest.raises(ValueError, match=r"tree\.map: tree 1 differs from the first one: missing \['b'\]"):
        jit(lambda one, other: tree.map(torch.add, one, other))(one, other)
