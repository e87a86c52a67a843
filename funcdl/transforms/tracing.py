"""Running a pure function on tensors without data, to see what it returns or which operations it calls.

The function itself runs, once and as plain Python: its trees are walked and its `torch.func` transforms applied by
their own fast code, and only what reaches a tensor ends up in the graph. Dynamo, which interprets the function byte by
byte, takes ten times as long for a training step, and most of that for the trees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode, is_fake
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing, make_fx

from funcdl import tree

_MODES = torch._C._TorchDispatchModeKey


def eval_shape(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Returns what `f(*args, **kwargs)` would return, as tensors without data, and computes nothing.

    Source: `jax.eval_shape`; torch's fake tensors.

    >>> eval_shape(lambda x: x @ x.T, torch.ones(1000, 3)).shape
    torch.Size([1000, 1000])
    """
    leaves, structure = tree.flatten((args, kwargs))
    with _without_data(leaves) as fakes:
        fake_args, fake_kwargs = tree.unflatten(structure, fakes)
        return f(*fake_args, **fake_kwargs)


def trace(f: Callable[..., list[Tensor]], leaves: Sequence[Tensor]) -> GraphModule:
    """Returns the operations that `f(*leaves)` calls, as a module with its arguments and results.

    What `f` is given while it is traced alias each other as the `leaves` do. The module holds the tensors that `f`
    closes over, and those that it makes of numbers.
    """
    with _without_data(leaves) as fakes:
        graph = make_fx(f, _allow_non_fake_inputs=True)(*fakes)
    for name, held in graph.named_buffers():
        setattr(graph, name, held.detach())  # what is recorded of them has been, or is not to be
    graph.graph.eliminate_dead_code()  # such as checks of shapes by plain autograd, which Dynamo does not take
    graph.recompile()
    return graph


def trace_part(f: Callable[..., list[Tensor]], leaves: Sequence[Tensor]) -> tuple[GraphModule, list[Tensor]]:
    """As `trace`, for a part of a graph that `trace` is making, such as the body of a loop.

    Returns:
        The module, and what `f` closes over of the graph outside: further arguments of the module, after `leaves`.
    """
    with disable_proxy_modes_tracing():
        graph = make_fx(f, _allow_non_fake_inputs=True, _allow_fake_constant=True)(*leaves)
    closed_over = []
    last = [node for node in graph.graph.nodes if node.op == "placeholder"][-1]
    for node in graph.graph.find_nodes(op="get_attr"):
        held = getattr(graph, node.target)
        if is_fake(held):
            with graph.graph.inserting_after(last):
                last = graph.graph.placeholder(node.target)
            last.meta.update(node.meta)
            node.replace_all_uses_with(last)
            graph.graph.erase_node(node)
            closed_over.append(held)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph, closed_over


def in_graph() -> bool:
    """Whether a graph is being traced, by `jit` or by `torch.compile` or `torch.export`."""
    return torch.compiler.is_compiling() or torch._C._get_dispatch_mode(_MODES.PROXY) is not None


def without_data() -> bool:
    """Whether the tensors of this moment have no data, as in `eval_shape` and `trace`."""
    return torch._C._get_dispatch_mode(_MODES.FAKE) is not None


@contextmanager
def _without_data(leaves: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    fakes: list[Tensor] = [mode.from_tensor(leaf, static_shapes=True) for leaf in leaves]
    with mode:
        yield fakes
