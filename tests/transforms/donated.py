"""What the tests of donation share: whole numbers, sameness bit by bit, and where the memory of leaves is."""

import importlib

import torch

from funcdl import tree

jit_module = importlib.import_module("funcdl.transforms.jit")  # the package's attribute of that name is the function


def whole(*shape, start=0):
    """Whole numbers, on which float32 arithmetic is exact in any order, so that results can be compared bit by bit."""
    return torch.arange(start, start + torch.Size(shape).numel()).remainder(7).to(torch.float32).reshape(shape)


def same(results, expected):
    """Bit for bit the same trees, in containers of the same types."""
    assert tree.structure(results) == tree.structure(expected)
    for (path, result), right in zip(tree.leaves_with_paths(results), tree.leaves(expected), strict=True):
        assert result.dtype == right.dtype, path
        assert torch.equal(result, right), f"{path}: {result} is not {right}"


def storages(*trees):
    return [leaf.untyped_storage()._cdata for leaf in tree.leaves(trees)]
