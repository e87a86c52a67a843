"""`scan` as one operation of a graph, by torch's prototype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from funcdl import _torch, tree
from funcdl.transforms.engine.graph_passes.insertion import insert
from funcdl.transforms.engine.trace import trace_subgraph
from funcdl.tree import Tree


def scan_in_graph(step: Callable[[Tree, Tree], tuple[Tree, Tree]], init: Tree, xs: Tree) -> tuple[Tree, Tree]:
    """Adds a scan to the graph that is being traced, and returns the last carry and the stacked `y`."""
    # torch's scan requires flat lists, at least one carry (and before torch 2.15 one y), and contiguous results that
    # share no memory with each other or with the inputs.
    carry_leaves, carry_skeleton = _flatten_with_skeleton(init)
    x_leaves, x_skeleton = _flatten_with_skeleton(xs)
    dummy = x_leaves[0].new_zeros(())

    def body(flat_carry: list[Any], flat_x: list[Any]) -> tuple[list[Any], Tree]:
        new, y = step(tree.rebuild(carry_skeleton, flat_carry), tree.rebuild(x_skeleton, flat_x))
        y_or_dummy = (y, () if tree.leaves(y) else (flat_x[0].new_zeros(()),))
        return [_copy(leaf) for leaf in tree.leaves(new) or flat_carry], tree.map(_copy, y_or_dummy)

    run = _torch.scan if torch.compiler.is_compiling() else _traced_scan
    last, (ys, _) = run(body, [_copy(leaf) for leaf in carry_leaves or [dummy]], x_leaves)
    return tree.rebuild(carry_skeleton, last), ys


def _traced_scan(body: Callable[..., Any], carry: list[Tensor], xs: list[Tensor]) -> tuple[list[Tensor], Tree]:
    """Traces the body and adds the operation to the graph, as torch's `scan` does under Dynamo."""
    count, y_skeleton = len(carry), None

    def flat_body(*leaves: Tensor) -> list[Tensor]:
        nonlocal y_skeleton
        new, y = body(list(leaves[:count]), list(leaves[count:]))
        ys, y_skeleton = _flatten_with_skeleton(y)
        return [*new, *ys]

    graph, closed_over = trace_subgraph(flat_body, [*carry, *(x[0] for x in xs)])
    checks = _move_checks_out(graph)
    results = _torch.scan_op(graph, carry, xs, tuple(closed_over))
    for name, info in zip(checks, results[len(results) - len(checks) :], strict=True):
        _torch.linalg_check_errors(info, name, is_matrix=False)
    return list(results[:count]), tree.rebuild(y_skeleton, results[count:])


def _move_checks_out(graph: GraphModule) -> list[str]:
    """Moves the error checks of `torch.linalg` behind the loop, because Inductor does not support them in its body.

    The values to check become additional results of the body.

    Returns:
        The name of the checked function for each of these results.
    """
    checks = graph.graph.find_nodes(op="call_function", target=_torch.linalg_check_errors)
    (output,) = graph.graph.find_nodes(op="output")
    for check in checks:
        with graph.graph.inserting_before(check), _torch.disable_proxy_mode():
            info = insert(graph, torch.ops.aten.clone.default, check.args[0])
        output.args = ([*output.args[0], info],)
        graph.graph.erase_node(check)
    graph.recompile()
    return [check.args[1] for check in checks]


def _flatten_with_skeleton(part: Tree) -> tuple[list[Tensor], Tree]:
    """Returns the leaves, and a tree of the same structure with the index of each leaf in its place."""
    leaves, structure = tree.flatten(part)
    return leaves, tree.unflatten(structure, range(len(leaves)))


def _copy(leaf: Tensor) -> Tensor:
    return leaf.clone(memory_format=torch.contiguous_format)
