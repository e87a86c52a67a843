"""Equal updates of many leaves as one kernel that is called once for all of them: what compilers call outlining.

Inductor takes half a second for each leaf that Adam updates, more than a minute for ResNet-50, though the leaves differ
in nothing but their size. So what overwrites donated leaves, is computed element by element, and is read by nothing
else, such as the update of a parameter and of its averages, is cut out of the graph: a piece. Where there are enough of
equal form, a kernel for any size serves for all. The rest of the graph, such as gradients and scalars, runs before.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import increment_version
from torch.fx import Graph, GraphModule, Node

from funcdl.transforms import kernels
from funcdl.transforms.pieces import Piece, form, is_pointwise, pieces_of
from funcdl.transforms.writes import changed_memory, memory, written

_ENOUGH = 32  # pieces of a form: for fewer, the kernel's compile time costs more than it saves


class Kernel(NamedTuple):
    """What updates all leaves of a form.

    Attributes:
        source: its C++.
        sizes: of each piece, how many numbers its leaves have.
        places: of each piece, where its leaves and scalars are among the inputs and outputs of the rest of the graph.
        overwritten: the places of those that it writes into.
    """

    source: str
    sizes: list[int]
    places: list[list[int]]
    overwritten: list[int]


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
    read = [node for pieces in classes for piece in pieces for node in (*piece.leaves, *piece.scalars)]
    crossing = [node for node in dict.fromkeys(read) if node.op != "placeholder"]
    output.args = ([*results, *crossing],)
    place = {node: index for index, node in enumerate(inputs)}
    place |= {node: len(inputs) + len(results) + index for index, node in enumerate(crossing)}
    outlined = [_kernel(pieces, place) for pieces in classes]
    cut_out = {node for pieces in classes for piece in pieces for node in piece.nodes}
    for node in reversed(graph.nodes):
        if node in cut_out:
            graph.erase_node(node)
    module.recompile()
    return outlined


def followed_by(
    rest: Callable[..., list[Tensor]], outlined: list[Kernel], loaded: Callable[[str], Callable[..., None]]
) -> Callable[..., list[Tensor]]:
    """Returns a function that calls `rest` and then the kernels, which are `loaded(source)`.

    Its results are those of `rest`, at the end also those that only the kernels read.
    """
    used = sorted({place for kernel in outlined for places in kernel.places for place in places})
    number = {place: index for index, place in enumerate(used)}
    pick, pick_overwritten = itemgetter(*used), itemgetter(*(p for kernel in outlined for p in kernel.overwritten))
    calls = []
    for kernel in outlined:
        sizes = array("q", kernel.sizes)
        places = array("q", [number[place] for places in kernel.places for place in places])
        calls.append((loaded(kernel.source), sizes, places))

    def run(*inputs: Tensor) -> list[Tensor]:
        outputs = rest(*inputs)
        values = (*inputs, *outputs)
        addresses = array("Q", list(map(Tensor.data_ptr, pick(values))))
        threads = torch.get_num_threads()
        for function, sizes, places in calls:
            function(len(sizes), _address(sizes), _address(places), threads, _address(addresses))
        increment_version(pick_overwritten(values))  # autograd refuses to go back through what they were
        return outputs

    return run


def _address(numbers: array) -> int:
    return numbers.buffer_info()[0]


def _kernel(pieces: list[Piece], place: dict[Node, int]) -> Kernel:
    places = [[place[node] for node in (*piece.leaves, *piece.scalars)] for piece in pieces]
    sizes = [piece.leaves[0].meta["val"].numel() for piece in pieces]
    overwritten = [
        place[leaf] for piece in pieces for node in piece.nodes for leaf in written(node) & set(piece.leaves)
    ]
    return Kernel(kernels.source(*pieces[0]), sizes, places, overwritten)


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
