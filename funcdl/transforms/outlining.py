"""Equal updates of many leaves as one kernel, which is called for some leaves at a time: what compilers call outlining.

Inductor takes half a second for each leaf that Adam updates, more than a minute for ResNet-50, though the leaves differ
in nothing but their size. So what overwrites donated leaves, is computed element by element, and is read by nothing
else, such as the update of a parameter and of its averages, is cut out of the graph: a piece. Where there are enough of
equal form, a kernel for any size serves for all. The rest of the graph, such as gradients and scalars, runs before.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._C._dynamo.guards import _reinterpret_tensor as reinterpret_tensor  # type: ignore[attr-defined]
from torch.fx import Graph, GraphModule, Node

from funcdl.transforms.pieces import Piece, form, is_pointwise, pieces_of
from funcdl.transforms.writes import changed_memory, memory

_aten = torch.ops.aten
_ENOUGH = 32  # pieces of a form: for fewer, the kernel's compile time and its calls cost more than they save
_AT_A_TIME = 8  # pieces in a call: more take longer to compile, fewer make more calls of some ten microseconds


class Call(NamedTuple):
    """Where the arguments of a kernel are, among the inputs and outputs of the rest of the graph.

    Attributes:
        scalars: their places.
        leaves: their places; None for a leaf that the last call lacks.
        folded: which arguments are leaves of other than one dimension, and how many numbers they have.
    """

    scalars: list[int]
    leaves: list[int | None]
    folded: list[tuple[int, int]]


class Kernel(NamedTuple):
    """A graph for some pieces at a time.

    Attributes:
        graph: takes first what `scalars` lists, then leaves as vectors, and overwrites some of these.
        scalars: examples of the arguments that are no leaves.
        leaves: the dtypes of the leaves.
        calls: what it is called with.
    """

    graph: GraphModule
    scalars: list[Tensor]
    leaves: list[torch.dtype]
    calls: list[Call]


def outline(module: GraphModule) -> list[Kernel]:
    """Cuts equal pieces out of a graph; what they read of it becomes further outputs. Returns no kernels if too few."""
    graph = module.graph
    _share_scalars(graph)
    by_form: dict[Any, list[Piece]] = {}
    for piece in pieces_of(list(graph.nodes)):
        by_form.setdefault(form(piece), []).append(piece)
    classes = [pieces for pieces in by_form.values() if len(pieces) >= _ENOUGH]
    if not classes:
        return []

    inputs = graph.find_nodes(op="placeholder")
    (output,) = graph.find_nodes(op="output")
    (results,) = output.args
    with graph.inserting_before(output):
        packed = [_pack(graph, pieces) for pieces in classes]
    read = [node for pieces in classes for piece in pieces for node in (*piece.leaves, *piece.scalars)]
    read += [pack for packs in packed for pack in packs]
    crossing = [node for node in dict.fromkeys(read) if node.op != "placeholder"]
    output.args = ([*results, *crossing],)
    places = {node: place for place, node in enumerate(inputs)}
    places |= {node: len(inputs) + len(results) + index for index, node in enumerate(crossing)}
    kernels = [_kernel(pieces, packs, places) for pieces, packs in zip(classes, packed, strict=True)]
    cut_out = {node for pieces in classes for piece in pieces for node in piece.nodes}
    for node in reversed(graph.nodes):
        if node in cut_out:
            graph.erase_node(node)
    module.recompile()
    return kernels


def followed_by(
    rest: Callable[..., list[Tensor]], kernels: list[Kernel], compiled: Callable[..., Callable[..., Any]]
) -> Callable[..., list[Tensor]]:
    """Returns a function that calls `rest` and then the kernels, `compiled(graph, scalars, vectors)`.

    Its results are those of `rest`, at the end also those that only the kernels read.
    """
    nothing = {dtype: torch.empty(0, dtype=dtype) for kernel in kernels for dtype in kernel.leaves}
    at_the_end = {dtype: index - len(nothing) for index, dtype in enumerate(nothing)}
    calls = []
    for kernel in kernels:
        each = len(kernel.leaves) // _AT_A_TIME
        sizes = [2**16 + index // each for index in range(len(kernel.leaves))]  # one size for the leaves of a piece
        vectors = [torch.ones(size, dtype=dtype) for size, dtype in zip(sizes, kernel.leaves, strict=True)]
        function = compiled(kernel.graph, kernel.scalars, vectors)
        for call in kernel.calls:
            pairs = zip(call.leaves, kernel.leaves, strict=True)
            leaves = [at_the_end[dtype] if place is None else place for place, dtype in pairs]
            calls.append((function, itemgetter(*call.scalars, *leaves), call.folded))

    def run(*inputs: Tensor) -> list[Tensor]:
        outputs = rest(*inputs)
        values = [*inputs, *outputs, *nothing.values()]
        for function, pick, folded in calls:
            arguments = list(pick(values))
            for index, size in folded:  # as view(-1), in a third of the time, since it keeps no record for gradients
                arguments[index] = reinterpret_tensor(arguments[index], (size,), (1,), 0)
            function(*arguments)
        return outputs

    return run


def _share_scalars(graph: Graph) -> None:
    """Computes once what each leaf has computed of the same scalars, as a rate in the dtype of the leaf."""
    changed = changed_memory(graph)
    found: dict[Any, Node] = {}
    for node in graph.nodes:
        if _is_scalar(node) and not changed.intersection(map(memory, (node, *node.all_input_nodes))):
            first = found.setdefault((node.target, str(node.args), str(node.kwargs)), node)
            if first is not node:
                node.replace_all_uses_with(first)
                graph.erase_node(node)


def _is_scalar(node: Node) -> bool:
    """Whether it computes a scalar from scalars."""
    return is_pointwise(node) and not any(part.meta["val"].ndim for part in (node, *node.all_input_nodes))


def _pack(graph: Graph, pieces: list[Piece]) -> dict[Node, list[Node]]:
    """Stacks the scalars that all pieces read, those of a dtype to a vector: a loop has few registers for addresses.

    Returns:
        The vectors, and what they are made of.
    """
    by_dtype: dict[torch.dtype, list[Node]] = {}
    for scalar in _shared(pieces):
        by_dtype.setdefault(scalar.meta["val"].dtype, []).append(scalar)
    packs = {}
    for scalars in by_dtype.values():
        pack = graph.call_function(_aten.stack.default, (scalars,))
        pack.meta["val"] = _aten.stack.default([scalar.meta["val"] for scalar in scalars])
        packs[pack] = scalars
    return packs


def _shared(pieces: list[Piece]) -> list[Node]:
    first = pieces[0].scalars
    return [scalar for i, scalar in enumerate(first) if all(piece.scalars[i] is scalar for piece in pieces)]


def _kernel(pieces: list[Piece], packs: dict[Node, list[Node]], places: dict[Node, int]) -> Kernel:
    """Joins equal pieces to calls of one graph."""
    first = pieces[0]
    shared = _shared(pieces)
    own = [i for i, scalar in enumerate(first.scalars) if scalar not in shared]
    copies = range(_AT_A_TIME)

    graph = Graph()
    vectors = {pack: graph.placeholder(f"scalars{number}") for number, pack in enumerate(packs)}
    named = [{first.scalars[i]: graph.placeholder(f"scalar{i}_{copy}") for i in own} for copy in copies]
    for copy in copies:
        named[copy] |= {leaf: graph.placeholder(f"leaf{i}_{copy}") for i, leaf in enumerate(first.leaves)}
    common = {
        scalar: graph.call_function(_aten.select.int, (vectors[pack], 0, index))
        for pack, scalars in packs.items()
        for index, scalar in enumerate(scalars)
    }
    for copy in copies:
        named[copy] |= common
        for node in first.nodes:
            named[copy][node] = graph.node_copy(node, named[copy].__getitem__)
    graph.output(())

    calls = []
    for start in range(0, len(pieces), _AT_A_TIME):
        called = pieces[start : start + _AT_A_TIME]
        missing = _AT_A_TIME - len(called)
        scalars = [*packs, *(piece.scalars[i] for piece in (*called, *missing * [first]) for i in own)]
        leaves = [leaf for piece in called for leaf in piece.leaves]
        values = [leaf.meta["val"] for leaf in leaves]
        folded = [(len(scalars) + i, value.numel()) for i, value in enumerate(values) if value.ndim != 1]
        lacking = missing * len(first.leaves) * [None]
        calls.append(Call([places[s] for s in scalars], [*(places[leaf] for leaf in leaves), *lacking], folded))
    examples = [torch.ones(s.meta["val"].shape, dtype=s.meta["val"].dtype) for s in scalars]
    dtypes = len(copies) * [leaf.meta["val"].dtype for leaf in first.leaves]
    return Kernel(GraphModule({}, graph), examples, dtypes, calls)
