"""`scan` as one operation of a graph, by torch's prototype, for which trees are flattened and results copied."""

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
    """Returns what `scan` returns, for a `step` that checks what it returns, as one operation of a graph."""
    # torch's scan wants flat lists, at least one carry (and before torch 2.15 one y), and contiguous results that share
    # no memory with each other or with its inputs.
    carry_leaves, carry_places = _numbered(init)
    x_leaves, x_places = _numbered(xs)
    spare = x_leaves[0].new_zeros(())

    def body(flat_carry: list[Any], flat_x: list[Any]) -> tuple[list[Any], Tree]:
        new, y = step(tree.rebuild(carry_places, flat_carry), tree.rebuild(x_places, flat_x))
        y_or_spare = (y, () if tree.leaves(y) else (flat_x[0].new_zeros(()),))
        return [_copy(leaf) for leaf in tree.leaves(new) or flat_carry], tree.map(_copy, y_or_spare)

    run = _torch.scan if torch.compiler.is_compiling() else _traced_scan
    last, (ys, _) = run(body, [_copy(leaf) for leaf in carry_leaves or [spare]], x_leaves)
    return tree.rebuild(carry_places, last), ys


def _traced_scan(body: Callable[..., Any], carry: list[Tensor], xs: list[Tensor]) -> tuple[list[Tensor], Tree]:
    """Traces the body and adds the operation, as torch's `scan` does while Dynamo traces."""
    count, y_places = len(carry), None

    def flat_body(*leaves: Tensor) -> list[Tensor]:
        nonlocal y_places
        new, y = body(list(leaves[:count]), list(leaves[count:]))
        ys, y_places = _numbered(y)
        return [*new, *ys]

    graph, closed_over = trace_subgraph(flat_body, [*carry, *(x[0] for x in xs)])
    checks = _move_checks_out(graph)
    results = _torch.scan_op(graph, carry, xs, tuple(closed_over))
    for name, info in zip(checks, results[len(results) - len(checks) :], strict=True):
        _torch.linalg_check_errors(info, name, is_matrix=False)
    return list(results[:count]), tree.rebuild(y_places, results[count:])


def _move_checks_out(graph: GraphModule) -> list[str]:
    """Makes what `torch.linalg` checks further results, to be checked behind the loop: Inductor takes no checks in it.

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


def _numbered(part: Tree) -> tuple[list[Tensor], Tree]:
    """The leaves, and the tree with the number of each in its place."""
    leaves, structure = tree.flatten(part)
    return leaves, tree.unflatten(structure, range(len(leaves)))


def _copy(leaf: Tensor) -> Tensor:
    return leaf.clone(memory_format=torch.contiguous_format)
