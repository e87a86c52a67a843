"""Compiling: a traced graph by our own compiler or by Inductor, a function by `torch.compile`, C++ by a compiler."""

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


def compile_graph(graph: GraphModule) -> Callable[..., list[Tensor]]:
    """Compiles a traced graph by Inductor, within `compiling()`; Dynamo would interpret all of it once more."""
    inputs = [node.meta["val"] for node in graph.graph.find_nodes(op="placeholder")]
    mode = inputs[0].fake_mode if inputs else _torch.FakeTensorMode(shape_env=_torch.ShapeEnv())
    with _torch.tracing(_torch.TracingContext(mode)):
        return _torch.compile_fx(graph, inputs)


def compile_function(f: Callable[..., list[Tensor]]) -> Callable[..., list[Tensor]]:
    """Compiles a function by `torch.compile`, so that its gradient is the one that it defines.

    It is compiled at the first call, which has to be within `compiling()`.
    """
    if isinstance(f, FunctionType):  # Dynamo counts graphs against its limit by code object: each program gets its own
        f.__code__ = f.__code__.replace()
    unguarded: dict[str, Any] = {"guard_filter_fn": torch.compiler.skip_all_guards_unsafe}  # `jit` guards its programs
    return torch.compile(f, fullgraph=True, dynamic=False, options=unguarded)


@contextmanager
def compiling() -> Iterator[None]:
    """Keeps Dynamo from tracing a function twice, and Inductor from confusing reads and writes.

    Dynamo would make arguments of the floats that a function closes over, which are constants here, and numbers of
    0-dim float64 arguments, such as a learning rate; then it looks for those that no operation took as a number, finds
    some, and begins again without them.
    """
    with (
        _torch.dynamo_config.patch(specialize_float=True),
        _torch.replaced(_torch.TENSORIFY, lambda module: None),
        _keep_write_order(),
    ):
        yield


def compile_cpp(source: str) -> Callable[..., None]:
    """Compiles C++ with Inductor's compiler and flags, for this processor, and returns its function `kernel`."""
    # Inductor writes vectors itself, and keeps compilers from making them of loops; sqrt is one if it sets no errno.
    # The sum of two large int64 is negative, as torch has it.
    flags = () if os.name == "nt" else ("-ftree-loop-vectorize", "-fno-math-errno", "-fwrapv")
    function = _torch.CppCodeCache.load(source, extra_flags=flags).kernel
    function.argtypes = [ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
    function.restype = None
    return function


@contextmanager
def _keep_write_order() -> Iterator[None]:
    """Has the Inductor of torch 2.11 remember that a write waits for those who read what it overwrites.

    On the CPU it forgets that when it gives a loop the ranges of another; torch 2.12 has pytorch's pull request 177816.
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
    """Has other threads find out meanwhile which vector instructions this processor has.

    Inductor compiles a program for each kind that there may be, three to eight seconds one after the other in a process
    that does not find them compiled.
    """
    if missing_compiler() or _torch.cpu_vec_isa is None or _torch.CppCodeCache is None:  # the threads use that module
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
    """What keeps Inductor from compiling for the CPU here, or None."""
    if not _torch.has_cpp_compiler():
        return "no C++ compiler found (install g++ or clang, or set CXX)"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        return "Python's C headers are missing (on Debian: install python3-dev)"
    return None
