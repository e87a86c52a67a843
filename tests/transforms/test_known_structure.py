"""A known structure's leaves are found in trees of that structure alone."""

from collections import OrderedDict, defaultdict

from hypothesis import given, settings

from funcdl import tree
from funcdl.transforms.known_structure import leaves_finder
from tests.test_tree import numbers


@given(any_tree=numbers, other=numbers)
@settings(max_examples=300, deadline=None)
def test_it_finds_what_flatten_finds(any_tree, other):
    leaves, structure = tree.flatten(any_tree)
    find = leaves_finder(structure)
    assert find(any_tree) == leaves
    found = find(other)
    if tree.structure(other) == structure:
        assert found == tree.leaves(other)
    elif found is not None:  # other goes on below a leaf
        assert len(found) == len(leaves)
        assert tree.leaves(found) == tree.leaves(other)


def test_dicts_of_other_kinds_and_orders_are_another_structure():
    ordered, reverse = OrderedDict(a=1, b=(2,)), OrderedDict(b=(2,), a=1)
    kinds = [ordered, reverse, {"a": 1, "b": (2,)}, defaultdict(int, a=1, b=(2,))]
    for kind in kinds:
        structure = tree.structure([kind])
        assert all(tree.flatten_as(structure, [other]) == tree.leaves(kind) for other in kinds)
        find = leaves_finder(structure)
        assert [find([other]) is not None for other in kinds] == [other is kind for other in kinds]
