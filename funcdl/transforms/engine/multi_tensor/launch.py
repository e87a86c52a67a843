"""Cuts the updates of many leaves out of a graph, and runs them as kernels after the rest of it."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import increment_version
from torch.fx import Graph, GraphModule, Node

from funcdl.transforms.engine.aliasing import mutated_args, mutated_storages, storage_id
from funcdl.transforms.engine.multi_tensor import codegen
from funcdl.transforms.engine.multi_tensor.partition import Update, find_updates, is_pointwise, signature

MIN_GROUP = 32  # equal updates: for fewer, the kernel's compile time costs more than it saves


class Kernel(NamedTuple):
    """C++ that computes equal updates of many leaves.

    Attributes:
        source: the C++.
        sizes: for each update, how many numbers its leaves have.
        places: for each update, where its leaves and scalars are among the inputs and outputs of the rest of the graph.
        overwritten: the places of the leaves that it writes into.
    """

    source: str
    sizes: list[int]
    places: list[list[int]]
    overwritten: list[int]


def extract_kernels(module: GraphModule) -> list[Kernel]:
    """Cuts large groups of equal updates out of a graph; what they read of it becomes new outputs."""
    graph = module.graph
    _share_scalars(graph)
    by_signature: dict[Any, list[Update]] = {}
    for update in find_updates(list(graph.nodes)):
        by_signature.setdefault(signature(update), []).append(update)
    classes = [updates for updates in by_signature.values() if len(updates) >= MIN_GROUP]
    if not classes:
        return []

    inputs = graph.find_nodes(op="placeholder")
    (output,) = graph.find_nodes(op="output")
    (results,) = output.args
    read = [node for updates in classes for update in updates for node in (*update.leaves, *update.scalars)]
    crossing = [node for node in dict.fromkeys(read) if node.op != "placeholder"]
    output.args = ([*results, *crossing],)
    place = {node: index for index, node in enumerate(inputs)}
    place |= {node: len(inputs) + len(results) + index for index, node in enumerate(crossing)}
    kernels = [_kernel(updates, place) for updates in classes]
    cut_out = {node for updates in classes for update in updates for node in update.nodes}
    for node in reversed(graph.nodes):
        if node in cut_out:
            graph.erase_node(node)
    module.recompile()
    return kernels


def launch_after(
    rest: Callable[..., list[Tensor]], kernels: list[Kernel], compile_cpp: Callable[[str], Callable[..., None]]
) -> Callable[..., list[Tensor]]:
    """Returns a function that calls `rest` and then the kernels, which are `compile_cpp(source)`.

    Its results are those of `rest`, at the end also those that only the kernels read.
    """
    used = sorted({place for kernel in kernels for places in kernel.places for place in places})
    number = {place: index for index, place in enumerate(used)}
    pick, pick_overwritten = itemgetter(*used), itemgetter(*(p for kernel in kernels for p in kernel.overwritten))
    calls = []
    for kernel in kernels:
        sizes = array("q", kernel.sizes)
        places = array("q", [number[place] for places in kernel.places for place in places])
        calls.append((compile_cpp(kernel.source), sizes, places))

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


def _kernel(updates: list[Update], place: dict[Node, int]) -> Kernel:
    places = [[place[node] for node in (*update.leaves, *update.scalars)] for update in updates]
    sizes = [update.leaves[0].meta["val"].numel() for update in updates]
    overwritten = [
        place[leaf] for update in updates for node in update.nodes for leaf in mutated_args(node) & set(update.leaves)
    ]
    return Kernel(codegen.kernel_source(*updates[0]), sizes, places, overwritten)


def _share_scalars(graph: Graph) -> None:
    """Computes once what each leaf has computed of the same scalars, as a rate in the dtype of the leaf."""
    changed = mutated_storages(graph)
    found: dict[Any, Node] = {}
    for node in graph.nodes:
        if _is_scalar(node) and not changed.intersection(map(storage_id, (node, *node.all_input_nodes))):
            first = found.setdefault((node.target, str(node.args), str(node.kwargs)), node)
            if first is not node:
                node.replace_all_uses_with(first)
                graph.erase_node(node)


def _is_scalar(node: Node) -> bool:
    """Whether it computes a scalar from scalars."""
    return is_pointwise(node) and not any(part.meta["val"].ndim for part in (node, *node.all_input_nodes))
