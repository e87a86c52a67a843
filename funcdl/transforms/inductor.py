"""What `jit` asks of `torch.compile` and Inductor, and what it keeps them from doing."""

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
from unittest import mock

import torch
from torch.torch_version import TorchVersion


def compiled(f: Callable[..., Any]) -> Callable[..., Any]:
    """Returns what runs `f` as one graph, which is made at the first call, to be within `once_through`."""
    if isinstance(f, FunctionType):  # Dynamo counts graphs against its limit by code object: each program gets its own
        f.__code__ = f.__code__.replace()
    unguarded: dict[str, Any] = {"guard_filter_fn": torch.compiler.skip_all_guards_unsafe}  # `jit` guards its programs
    return torch.compile(f, fullgraph=True, dynamic=False, options=unguarded)


def loaded(source: str) -> Callable[..., None]:
    """Compiles C++ as Inductor does its own, for this processor, and returns its function `kernel`."""
    from torch._inductor.codecache import CppCodeCache

    # Inductor writes vectors itself, and keeps compilers from making them of loops; sqrt is one if it sets no errno.
    # The sum of two large int64 is negative, as torch has it.
    flags = () if os.name == "nt" else ("-ftree-loop-vectorize", "-fno-math-errno", "-fwrapv")
    function = CppCodeCache.load(source, extra_flags=flags).kernel
    function.argtypes = [ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
    function.restype = None
    return function


@contextmanager
def once_through() -> Iterator[None]:
    """Keeps Dynamo from tracing everything a second time.

    It would make arguments of the floats that a function closes over, which are compiled in here, and numbers of 0-dim
    float64 arguments, such as a learning rate; then it looks for those that no operation took as a number, finds some,
    and begins again without them.
    """
    variables = {"TENSORIFY_PYTHON_SCALARS": "0"}
    with torch._dynamo.config.patch(specialize_float=True), mock.patch.dict(os.environ, variables), _writes_in_order():
        yield


@contextmanager
def _writes_in_order() -> Iterator[None]:
    """Has the Inductor of torch 2.11 remember that a write waits for those who read what it overwrites.

    On the CPU it forgets that when it gives a loop the ranges of another; torch 2.12 has pytorch's pull request 177816.
    """
    if torch.__version__ >= TorchVersion("2.12"):
        yield
        return
    from torch._inductor.dependencies import StarDep, WeakDep
    from torch._inductor.scheduler import SchedulerNode
    from torch.utils._ordered_set import OrderedSet

    recompute = SchedulerNode.recompute_size_and_body

    def recompute_and_remember(node: Any, *args: Any, **kwargs: Any) -> None:
        waits = OrderedSet(read for read in node.read_writes.reads if isinstance(read, (WeakDep, StarDep)))
        recompute(node, *args, **kwargs)
        node.set_read_writes(node.read_writes.with_read(waits).rename(node.mutation_renames))

    with mock.patch.object(SchedulerNode, "recompute_size_and_body", recompute_and_remember):
        yield


@contextmanager
def beside_the_lookup_of_instructions() -> Iterator[None]:
    """Has Inductor find out meanwhile which vector instructions this processor has.

    It does so by compiling a program for each kind that there may be, three to eight seconds one after the other in a
    process that does not find them compiled.
    """
    if missing_compiler():
        yield
        return
    import torch._inductor.codecache  # noqa: F401  # what the other threads would import while this one does
    from torch._inductor import cpu_vec_isa

    known = cpu_vec_isa.x86_isa_checker()
    kinds = [kind for kind in cpu_vec_isa.supported_vec_isa_list if set(str(kind).split()) <= set(known)]
    with ThreadPoolExecutor() as other_threads:
        for kind in kinds:
            other_threads.submit(bool, kind)
        yield


@functools.cache
def missing_compiler() -> str | None:
    """What keeps Inductor from compiling for the CPU here, or None."""
    from torch._inductor.cpp_builder import get_cpp_compiler  # imported here as it takes a second
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return "no C++ compiler found (install g++ or clang, or set CXX)"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        return "Python's C headers are missing (on Debian: install python3-dev)"
    return None
