"""What `jit` compiles with in a test: Inductor, all but Inductor, or nothing; each graph counts as one of Dynamo's."""

import functools

import torch
from torch._dynamo.backends.debugging import aot_eager
from torch._dynamo.utils import counters

from funcdl import _torch
from funcdl.transforms.engine import backend


def functionalize(graph):
    inputs = [node.meta["val"] for node in graph.graph.find_nodes(op="placeholder")]
    mode = inputs[0].fake_mode if inputs else _torch.FakeTensorMode(shape_env=_torch.ShapeEnv())
    with _torch.tracing(_torch.TracingContext(mode)):
        return aot_eager(graph, inputs)


def counted(compile_graph):
    def compile_and_count(graph):
        compiled = compile_graph(graph)
        counters["stats"]["unique_graphs"] += compiled is not None
        return compiled

    return compile_and_count


BACKENDS = {"eager": lambda graph: graph.forward, "aot_eager": functionalize}


def compile_with(name, monkeypatch):
    """Leaves tracing, guards and limits as they are, and compiles by one of torch's backends for debugging."""
    monkeypatch.setattr(backend, "compile_small", lambda graph: None)
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=name))
    monkeypatch.setattr(backend, "compile_graph", counted(BACKENDS[name]))
