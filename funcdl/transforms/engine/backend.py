"""The compilers: our own and Inductor for traced graphs, `torch.compile` for functions, a C++ compiler for C++."""

from __future__ import annotations

import ctypes
import functools
import os
import sysconfig
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.torch_version import TorchVersion

from funcdl import _torch
from funcdl.transforms.engine.native import program
from funcdl.transforms.engine.native.ir import NotSupported


def compile_small(graph: GraphModule) -> Callable[..., list[Tensor]] | None:
    """Compiles a traced graph to one C++ function; None where it is not small, or has what `native` does not know."""
    try:
        return program.compile_graph(graph)
    except NotSupported:
        return None
    except (AttributeError, LookupError, TypeError, ValueError):  # operations with arguments that it does not expect
        return None


def compile_graph(graph: GraphModule) -> Callable[..., list[Tensor]]:
    """Compiles a traced graph with Inductor, without Dynamo; call it within `compiling()`."""
    inputs = [node.meta["val"] for node in graph.graph.find_nodes(op="placeholder")]
    mode = inputs[0].fake_mode if inputs else _torch.FakeTensorMode(shape_env=_torch.ShapeEnv())
    with _torch.tracing(_torch.TracingContext(mode)):
        return _torch.compile_fx(graph, inputs)


def compile_function(f: Callable[..., list[Tensor]]) -> Callable[..., list[Tensor]]:
    """Compiles a function with `torch.compile`, which keeps the gradient that the function defines.

    It is compiled at the first call, which has to be within `compiling()`.
    """
    if isinstance(f, FunctionType):  # a new code object, because Dynamo limits the number of graphs of each
        f.__code__ = f.__code__.replace()
    unguarded: dict[str, Any] = {"guard_filter_fn": torch.compiler.skip_all_guards_unsafe}  # `jit` has its own guards
    return torch.compile(f, fullgraph=True, dynamic=False, options=unguarded)


@contextmanager
def compiling() -> Iterator[None]:
    """Context manager for compiling: keeps Dynamo from tracing twice, and Inductor from reordering reads and writes.

    By default Dynamo turns the floats that a function closes over into arguments, and 0-dim float64 arguments, such as
    a learning rate, into numbers. When it then finds some that no operation uses as a number, it traces again. Here
    floats are constants of the graph.
    """
    with (
        _torch.dynamo_config.patch(specialize_float=True),
        _torch.replaced(_torch.TENSORIFY, lambda module: None),
        _keep_write_order(),
    ):
        yield


def compile_cpp(source: str) -> Callable[..., None]:
    """Compiles C++ with Inductor's compiler and flags, for this processor, and returns its function `kernel`."""
    # Inductor's flags turn vectorization off, because its own code is explicitly vectorized. sqrt is vectorized only if
    # it need not set errno. With -fwrapv int64 overflow wraps around, as in torch.
    flags = () if os.name == "nt" else ("-ftree-loop-vectorize", "-fno-math-errno", "-fwrapv")
    function = _torch.CppCodeCache.load(source, extra_flags=flags).kernel
    function.argtypes = [ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
    function.restype = None
    return function


@contextmanager
def _keep_write_order() -> Iterator[None]:
    """Context manager that fixes a bug of Inductor in torch 2.11: it may overwrite a tensor before others have read it.

    On the CPU it drops this dependency when it changes the ranges of a loop to those of another. Fixed in torch 2.12 by
    pytorch's pull request 177816.
    """
    if torch.__version__ >= TorchVersion("2.12"):
        yield
        return
    recompute = _torch.SchedulerNode.recompute_size_and_body

    def recompute_and_remember(node: Any, *args: Any, **kwargs: Any) -> None:
        reads = node.read_writes.reads
        waits = _torch.OrderedSet(read for read in reads if isinstance(read, (_torch.WeakDep, _torch.StarDep)))
        recompute(node, *args, **kwargs)
        node.set_read_writes(node.read_writes.with_read(waits).rename(node.mutation_renames))

    with _torch.replaced(f"{_torch.SCHEDULER_NODE}.recompute_size_and_body", recompute_and_remember):
        yield


@contextmanager
def probe_isa_in_background() -> Iterator[None]:
    """Context manager that finds out in other threads which vector instructions this processor supports.

    Inductor compiles a test program for each instruction set; one after the other they take three to eight seconds,
    unless they are cached on disk.
    """
    if missing_compiler() or _torch.cpu_vec_isa is None or _torch.CppCodeCache is None:  # the threads use CppCodeCache
        yield
        return
    supported = set(_torch.cpu_vec_isa.x86_isa_checker())
    kinds = [kind for kind in _torch.cpu_vec_isa.supported_vec_isa_list if set(str(kind).split()) <= supported]
    with ThreadPoolExecutor() as other_threads:
        for kind in kinds:
            other_threads.submit(bool, kind)
        yield


@functools.cache
def missing_compiler() -> str | None:
    """Says what Inductor lacks to compile for the CPU on this machine; None if it lacks nothing."""
    if not _torch.has_cpp_compiler():
        return "no C++ compiler found (install g++ or clang, or set CXX)"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        return "Python's C headers are missing (on Debian: install python3-dev)"
    return None
