"""What the tests of donation share: whole numbers, sameness bit by bit, where leaves are, and kernels in one file."""

import torch

from funcdl import tree
from funcdl.transforms.engine.backend import compile_cpp  # as it is: tests put another in its place


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


def compiled_together(sources):
    """One function for many kernels, called with a kernel's number first: what all include takes a compiler longest."""
    begin = 'extern "C" void kernel('
    arguments = "int64_t updates, const int64_t* sizes, const int64_t* indices, int threads, void* const* data"
    count, headers, rests = len(sources), {}, {}
    parts = []
    for number, source in enumerate(sources):
        head, _, body = source.partition(begin + arguments)
        included = [line for line in head.splitlines() if line.startswith("#include")]
        headers.update(dict.fromkeys(included))
        rests["\n".join(line for line in head.splitlines() if line and line not in included)] = None
        parts.append(f"static void kernel{number}({arguments}{body}")
    (rest,) = rests  # what follows the headers is the same for all
    parts = [*(f"{header}\n" for header in headers), f"{rest}\n", *parts]
    calls = [
        f"case {number}: kernel{number}(updates / {count}, sizes, indices, threads, data);" for number in range(count)
    ]
    parts.append(f"{begin}{arguments}) {{ switch (updates % {count}) {{ {' break; '.join(calls)} }} }}\n")
    function = compile_cpp("".join(parts))

    def call(number, updates, *rest):
        assert number < count
        function(updates * count + number, *rest)

    return call
