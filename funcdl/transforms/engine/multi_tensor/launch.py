"""Cuts groups of equal updates out of a graph, and runs them as kernels after the rest of it."""

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

MIN_GROUP = 32  # equal updates; for fewer, compiling the kernel takes longer than it saves


class Kernel(NamedTuple):
    """A kernel that computes equal updates of many leaves.

    Attributes:
        source: its C++ source.
        sizes: the number of elements of the leaves of each update.
        indices: for each update, the indices of its leaves and scalars among the inputs and outputs of the rest of the
            graph.
        overwritten: the indices of the leaves that it writes into.
    """

    source: str
    sizes: list[int]
    indices: list[list[int]]
    overwritten: list[int]


def extract_kernels(module: GraphModule) -> list[Kernel]:
    """Cuts large groups of equal updates out of a graph. The intermediate results that they use become outputs."""
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
    index_of = {node: index for index, node in enumerate(inputs)}
    index_of |= {node: len(inputs) + len(results) + index for index, node in enumerate(crossing)}
    kernels = [_kernel(updates, index_of) for updates in classes]
    cut_out = {node for updates in classes for update in updates for node in update.nodes}
    for node in reversed(graph.nodes):
        if node in cut_out:
            graph.erase_node(node)
    module.recompile()
    return kernels


def launch_after(
    rest: Callable[..., list[Tensor]], kernels: list[Kernel], compile_cpp: Callable[[str], Callable[..., None]]
) -> Callable[..., list[Tensor]]:
    """Returns a function that calls `rest` and then the kernels, which `compile_cpp` compiles from their sources.

    It returns the results of `rest`, including the additional ones at the end that only the kernels use.
    """
    used = sorted({index for kernel in kernels for indices in kernel.indices for index in indices})
    position = {index: number for number, index in enumerate(used)}
    pick, pick_overwritten = itemgetter(*used), itemgetter(*(p for kernel in kernels for p in kernel.overwritten))
    calls = []
    for kernel in kernels:
        sizes = array("q", kernel.sizes)
        indices = array("q", [position[index] for indices in kernel.indices for index in indices])
        calls.append((compile_cpp(kernel.source), sizes, indices))

    def run(*inputs: Tensor) -> list[Tensor]:
        outputs = rest(*inputs)
        values = (*inputs, *outputs)
        addresses = array("Q", list(map(Tensor.data_ptr, pick(values))))
        threads = torch.get_num_threads()
        for function, sizes, indices in calls:
            function(len(sizes), _address(sizes), _address(indices), threads, _address(addresses))
        increment_version(pick_overwritten(values))  # lets autograd detect the writes
        return outputs

    return run


def _address(numbers: array) -> int:
    return numbers.buffer_info()[0]


def _kernel(updates: list[Update], index_of: dict[Node, int]) -> Kernel:
    indices = [[index_of[node] for node in (*update.leaves, *update.scalars)] for update in updates]
    sizes = [update.leaves[0].meta["val"].numel() for update in updates]
    overwritten = [
        index_of[leaf]
        for update in updates
        for node in update.nodes
        for leaf in mutated_args(node) & set(update.leaves)
    ]
    return Kernel(codegen.kernel_source(*updates[0]), sizes, indices, overwritten)


def _share_scalars(graph: Graph) -> None:
    """Merges equal computations with scalars that the updates share, such as casts of the learning rate."""
    changed = mutated_storages(graph)
    found: dict[Any, Node] = {}
    for node in graph.nodes:
        if _is_scalar(node) and not changed.intersection(map(storage_id, (node, *node.all_input_nodes))):
            first = found.setdefault((node.target, str(node.args), str(node.kwargs)), node)
            if first is not node:
                node.replace_all_uses_with(first)
                graph.erase_node(node)


def _is_scalar(node: Node) -> bool:
    """Whether an operation computes a scalar from scalars."""
    return is_pointwise(node) and not any(part.meta["val"].ndim for part in (node, *node.all_input_nodes))
