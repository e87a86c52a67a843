"""Running a pure function on tensors without data, to see what it returns or which operations it calls.

The function itself runs, once and as plain Python: its trees are walked and its `torch.func` transforms applied by
their own fast code, and only what reaches a tensor ends up in the graph. Dynamo, which interprets the function byte by
byte, takes ten times as long for a training step, and most of that for the trees.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode, is_fake, unset_fake_temporarily
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing, make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._python_dispatch import TorchDispatchMode

from funcdl import tree
from funcdl.transforms import values, views
from funcdl.transforms.positions import UnknownPositions
from funcdl.transforms.rewriting import rewrite
from funcdl.transforms.writes import aliases, written


def eval_shape(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Returns what `f(*args, **kwargs)` would return, as tensors without data, and computes nothing.

    Raises:
        TypeError: `f` asks for the value of a tensor that it is given or computes.

    Source: `jax.eval_shape`; torch's fake tensors.

    >>> eval_shape(lambda x: x @ x.T, torch.ones(1000, 3)).shape
    torch.Size([1000, 1000])
    """
    leaves, structure = tree.flatten((args, kwargs))
    with values.refused_in("eval_shape"), _without_data(leaves) as fakes, _ClosedOver():
        fake_args, fake_kwargs = tree.unflatten(structure, fakes)
        results = f(*fake_args, **fake_kwargs)
        for leaf in tree.leaves(results):
            values.refuse_unknown_shape(leaf)
        return results


def trace(f: Callable[..., list[Tensor]], leaves: Sequence[Tensor]) -> GraphModule:
    """Returns the operations that `f(*leaves)` calls, as a module with its arguments and results.

    What `f` is given while it is traced alias each other as the `leaves` do. The module holds the tensors that `f`
    closes over, and those that it makes of numbers.

    Raises:
        ValueError: `f` draws from a generator of torch.
    """
    generator = torch.get_rng_state()
    try:
        with _without_data(leaves) as fakes, torch._dynamo.config.patch(error_on_nested_fx_trace=False):
            graph = make_fx(f, values.decompositions(), _allow_non_fake_inputs=True)(*fakes)
        untouched = torch.equal(generator, torch.get_rng_state())
    except RuntimeError as error:  # that of vmap, or of torch 2.11
        if "called random operation" in str(error) or "torch._C.Generator" in str(error):
            raise ValueError(_hidden("draws from")) from error
        raise
    finally:
        torch.set_rng_state(generator)
    if not untouched:
        raise ValueError(_hidden("sets or advances"))
    for module in graph.modules():
        held = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for name, tensor in held:
            if is_fake(tensor):
                raise ValueError(
                    "jit: the function uses a tensor that a scan's body has put elsewhere, which is gone after the "
                    "loop; return it from the body as y"
                )
            delattr(module, name)
            module.register_buffer(name, tensor.detach())  # whether it is recorded has been seen while tracing
    return _cleaned(graph)


def trace_part(f: Callable[..., list[Tensor]], leaves: Sequence[Tensor]) -> tuple[GraphModule, list[Tensor]]:
    """As `trace`, for a part of a graph that `trace` is making, such as the body of a loop.

    Returns:
        The module, and the tensors that `f` closes over: further arguments of the module, after `leaves`.

    Raises:
        ValueError: `f` writes into a tensor that it has not made.
    """
    with disable_proxy_modes_tracing():
        graph = make_fx(f, values.decompositions(), _allow_non_fake_inputs=True, _allow_fake_constant=True)(*leaves)
    last = [node for node in graph.graph.nodes if node.op == "placeholder"][-1]
    inputs: dict[str, Node] = {}
    for node in graph.graph.find_nodes(op="get_attr"):
        held = getattr(graph, node.target)
        if isinstance(held, Tensor):  # also one of the user's: held by two graphs it would confuse `make_fx`
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
    return _cleaned(graph), closed_over


def was_rewritten(graph: GraphModule) -> bool:
    """Whether the function of a traced graph, or of a loop's body in it, does what `torch.compile` would do wrong."""
    return any(module.meta.get("rewritten") for module in graph.modules() if isinstance(module, GraphModule))


class _ClosedOver(TorchDispatchMode):
    """Knows the values of tensors with data, those that a function closes over, as `make_fx` does."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and not is_fake(args[0]):
            with unset_fake_temporarily():
                return func(*args)
        return func(*args, **kwargs or {})


@contextmanager
def _without_data(leaves: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    # With a ShapeEnv a value is a symbol; without one it would be that of the leaf, for ever.
    shapes = ShapeEnv(allow_scalar_outputs=True, allow_dynamic_output_shape_ops=False)
    mode = FakeTensorMode(allow_non_fake_inputs=True, shape_env=shapes)
    fakes: list[Tensor] = [mode.from_tensor(leaf, static_shapes=True) for leaf in leaves]
    with mode, UnknownPositions():
        yield fakes


def _refuse_writes(graph: GraphModule) -> None:
    """Raises a ValueError where the graph writes into an argument or a view of one: torch's scan would lose it."""
    given = set(graph.graph.find_nodes(op="placeholder"))
    for node in graph.graph.nodes:
        if node.target is operator.getitem and node.args[0] in given:  # one of several views, as of unbind
            given.add(node)
        if written(node) & given:
            raise ValueError(
                f"scan: f writes into a tensor that it is given or closes over ({node.target}); return a new one, in "
                "the carry or as y"
            )
        if any(parts & given for _, parts in aliases(node)):
            given.add(node)


def _refuse_draws(graph: GraphModule) -> None:
    """Raises a ValueError where the graph draws random numbers from a generator of torch, at each call other ones."""
    parts = [module for module in graph.modules() if isinstance(module, GraphModule)]  # with those of torch.cond
    for node in (node for part in parts for node in part.graph.nodes):
        if isinstance(node.target, torch._ops.OpOverload) and torch.Tag.nondeterministic_seeded in node.target.tags:
            schema = node.target._schema
            given = {spec.name: spec.default_value for spec in schema.arguments} | node.kwargs
            given |= {spec.name: value for spec, value in zip(schema.arguments, node.args, strict=False)}
            drops = given.get("dropout_p", given.get("dropout", given.get("p") if "dropout" in schema.name else None))
            if drops == 0 or not given.get("training", given.get("train", True)):
                continue  # draws nothing
            raise ValueError(
                _hidden(f"calls torch's {schema.name.removeprefix('aten::').strip('_')}, which draws from")
            )


def _hidden(what: str) -> str:
    return (
        f"jit: the function {what} a hidden generator; draw by funcdl.random, as random.normal(key, shape), from a key "
        "that is an argument"
    )


def _cleaned(graph: GraphModule) -> GraphModule:
    """Without what Dynamo does not take: marks for a profiler, and what nothing uses, as plain autograd's checks."""
    _refuse_draws(graph)
    for node in reversed(graph.graph.nodes):
        if isinstance(node.target, torch._ops.OpOverload) and node.target.namespace == "profiler":
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    with disable_proxy_modes_tracing():  # the graph may be part of one that is being traced
        views.refuse_overlapping_writes(graph)
        views.refuse_writes_into_copies(graph)
        graph.meta["rewritten"] = values.compute_with_tensors(graph) | views.write_windows_back(graph)
        rewrite(graph)
    graph.recompile()
    return graph
