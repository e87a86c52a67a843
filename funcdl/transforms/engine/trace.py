"""Tracing: running a pure function on fake tensors, to record its operations or to find the shapes of its results.

The function runs once, as plain Python: trees and `torch.func` transforms are handled by their own fast code, and only
the operations on tensors end up in the graph. Dynamo interprets the bytecode instead, which takes ten times as long for
a training step, most of it for the trees.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from funcdl import _torch
from funcdl.transforms.engine.aliasing import aliased_args, mutated_args
from funcdl.transforms.engine.graph_passes import cpu, scalars, views
from funcdl.transforms.engine.indexing import TracedIndexing


def trace(f: Callable[..., list[Tensor]], leaves: Sequence[Tensor]) -> GraphModule:
    """Returns a graph module with the operations that `f(*leaves)` calls, and with its arguments and results.

    `f` is called with fake tensors, which share memory where the `leaves` do. The tensors that `f` closes over, and
    those that it creates from numbers, become buffers of the module.

    Raises:
        ValueError: `f` draws from one of torch's generators.
    """
    generator = torch.get_rng_state()
    try:
        with fake_tensors(leaves) as fakes, _torch.dynamo_config.patch(error_on_nested_fx_trace=False):
            graph = _torch.make_fx(f, scalars.decompositions(), _allow_non_fake_inputs=True)(*fakes)
        untouched = torch.equal(generator, torch.get_rng_state())
    except RuntimeError as error:  # raised by vmap, or by torch 2.11
        if "called random operation" in str(error) or "torch._C.Generator" in str(error):
            raise ValueError(_hidden_generator("draws from")) from error
        raise
    finally:
        torch.set_rng_state(generator)
    if not untouched:
        raise ValueError(_hidden_generator("sets or advances"))
    for module in graph.modules():
        tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for name, tensor in tensors:
            if _torch.is_fake(tensor):
                raise ValueError(
                    "jit: the function uses a tensor that a scan's body has stored outside, which does not exist after "
                    "the loop; return it from the body as y"
                )
            delattr(module, name)
            module.register_buffer(name, tensor.detach())  # the trace has already seen whether it requires a gradient
    return _clean_up(graph)


def trace_subgraph(f: Callable[..., list[Tensor]], leaves: Sequence[Tensor]) -> tuple[GraphModule, list[Tensor]]:
    """Like `trace`, but for a subgraph of a graph that is being traced, such as the body of a loop.

    Returns:
        The module, and the tensors that `f` closes over, which are additional arguments of the module after `leaves`.

    Raises:
        ValueError: `f` writes into a tensor that it did not create.
    """
    with _torch.disable_proxy_mode():
        graph = _torch.make_fx(f, scalars.decompositions(), _allow_non_fake_inputs=True, _allow_fake_constant=True)(
            *leaves
        )
    last = [node for node in graph.graph.nodes if node.op == "placeholder"][-1]
    inputs: dict[str, Node] = {}
    for node in graph.graph.find_nodes(op="get_attr"):
        value = getattr(graph, node.target)
        if isinstance(value, Tensor):  # lifted to an argument: a tensor that two graphs own would confuse `make_fx`
            if node.target not in inputs:
                with graph.graph.inserting_after(last):
                    last = inputs[node.target] = graph.graph.placeholder(node.target)
                last.meta.update(node.meta)
            node.replace_all_uses_with(inputs[node.target])
            graph.graph.erase_node(node)
    closed_over = [getattr(graph, name) for name in inputs]
    for name in inputs:
        delattr(graph, name)
    _refuse_writes(graph)
    return _clean_up(graph), closed_over


def was_rewritten(graph: GraphModule) -> bool:
    """Whether a graph, or the body of a loop in it, was rewritten because `torch.compile` would compile it wrongly."""
    return any(module.meta.get("rewritten") for module in graph.modules() if isinstance(module, GraphModule))


@cache
def _closed_over_values() -> type:
    class ClosedOverValues(_torch.TorchDispatchMode):
        """Lets a function read the values of the real tensors that it closes over, as `make_fx` does."""

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is _torch.local_scalar_dense and not _torch.is_fake(args[0]):
                with _torch.unset_fake_temporarily():
                    return func(*args)
            return func(*args, **kwargs or {})

    return ClosedOverValues


@contextmanager
def fake_tensors(leaves: Sequence[Tensor], *, closed_over_values: bool = False) -> Iterator[list[Tensor]]:
    """Context manager in which new tensors are fake tensors, with shapes but no data; yields those for the `leaves`.

    With `closed_over_values` the values of real tensors can be read inside.
    """
    # With a ShapeEnv the value of a 0-dim tensor is a symbol; without one it would be a constant of the graph.
    shapes = _torch.ShapeEnv(allow_scalar_outputs=True, allow_dynamic_output_shape_ops=False)
    mode = _torch.FakeTensorMode(allow_non_fake_inputs=True, shape_env=shapes)
    fakes: list[Tensor] = [mode.from_tensor(leaf, static_shapes=True) for leaf in leaves]
    with mode, TracedIndexing(), _closed_over_values()() if closed_over_values else nullcontext():
        yield fakes


def _refuse_writes(graph: GraphModule) -> None:
    """Raises a ValueError if the graph writes into an argument or a view of one, which torch's scan would ignore."""
    given = set(graph.graph.find_nodes(op="placeholder"))
    for node in graph.graph.nodes:
        if node.target is operator.getitem and node.args[0] in given:  # one of several views, such as those of unbind
            given.add(node)
        if mutated_args(node) & given:
            raise ValueError(
                f"scan: f writes into a tensor that it is given or closes over ({node.target}); return a new one, in "
                "the carry or as y"
            )
        if any(parts & given for _, parts in aliased_args(node)):
            given.add(node)


def _refuse_draws(graph: GraphModule) -> None:
    """Raises a ValueError if the graph draws random numbers from one of torch's generators."""
    parts = [module for module in graph.modules() if isinstance(module, GraphModule)]  # includes branches of torch.cond
    for node in (node for part in parts for node in part.graph.nodes):
        if isinstance(node.target, _torch.OpOverload) and torch.Tag.nondeterministic_seeded in node.target.tags:
            schema = _torch.schema(node.target)
            given = {spec.name: spec.default_value for spec in schema.arguments} | node.kwargs
            given |= {spec.name: value for spec, value in zip(schema.arguments, node.args, strict=False)}
            drops = given.get("dropout_p", given.get("dropout", given.get("p") if "dropout" in schema.name else None))
            if drops == 0 or not given.get("training", given.get("train", True)):
                continue  # draws nothing
            raise ValueError(
                _hidden_generator(f"calls torch's {schema.name.removeprefix('aten::').strip('_')}, which draws from")
            )


def _hidden_generator(what: str) -> str:
    return (
        f"jit: the function {what} a hidden generator; draw with funcdl.random, as random.normal(key, shape), and pass "
        "the key as an argument"
    )


def _clean_up(graph: GraphModule) -> GraphModule:
    """Checks a graph, removes profiler annotations and dead code, and rewrites the graph for Inductor."""
    _refuse_draws(graph)
    for node in reversed(graph.graph.nodes):
        if isinstance(node.target, _torch.OpOverload) and node.target.namespace == "profiler":
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    with _torch.disable_proxy_mode():  # the graph may be a subgraph of one that is being traced
        views.refuse_overlapping_writes(graph)
        views.refuse_writes_into_copies(graph)
        graph.meta["rewritten"] = scalars.compute_with_tensors(graph) | views.write_unfold_back(graph)
        cpu.optimize_for_cpu(graph)
    graph.recompile()
    return graph
