"""The one door to torch's private names: no other file of the library uses one.

Private is what torch may rename or drop in any version: what has a name that begins with an underscore (modules,
functions, classes, attributes, operators), and all of `torch.fx.experimental`. Here each has a name of ours, is looked
up once, when it is first needed, and is from then on an attribute of this module; `import funcdl` looks up none. So
write `_torch.is_fake`, never `from funcdl._torch import is_fake`.

Where torch lacks a name, `_FALLBACKS` has what serves in its place: the same by public means, more slowly, or what is
true of plain eager torch. What has no fallback is needed to trace and compile, and raises a `MissingName`;
`missing_to_trace` tells so beforehand, and `jit`, `scan` and `eval_shape` do without it.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from operator import attrgetter
from types import ModuleType
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd import forward_ad

F = TypeVar("F", bound=Callable[..., Any])


def find(path: str) -> Any:
    """Returns what stands in torch under a dotted path, whose modules it imports; None where there is no such name.

    >>> find("torch.nn.functional.relu").__name__, find("torch.no.such.name")
    ('relu', None)
    """
    first, *names = path.split(".")
    found: Any = importlib.import_module(first)
    so_far = first
    for name in names:
        so_far = f"{so_far}.{name}"
        if isinstance(found, ModuleType):  # a module comes before a function of its name, which hides it in its package
            try:
                found = importlib.import_module(so_far)
                continue
            except ImportError:
                pass
        found = getattr(found, name, None)
        if found is None:
            return None
    return found


def __getattr__(name: str) -> Any:
    """Looks up a name of `_NAMES`: Python calls this for an attribute that the module does not have yet."""
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    path, *make = _NAMES[name]
    found = find(path)
    if found is None and name not in _FALLBACKS:
        raise MissingName(f"torch {torch.__version__} has no {path}")
    value = _FALLBACKS[name] if found is None else make[0](found) if make else found
    globals()[name] = value
    return value


class MissingName(AttributeError):
    """This torch has no such private name."""


def constant_in_graph(f: F) -> F:
    """Has Dynamo call a function while it traces, and take the result for a constant of the graph.

    This is `torch.compiler.assume_constant_result`, which would import Dynamo, and take as long as all of torch.
    """
    f._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return f


@constant_in_graph
def missing_to_trace() -> str | None:
    """The first private name that tracing needs and this torch lacks, or None; looks them all up."""
    return _missing_to_trace()


@cache
def _missing_to_trace() -> str | None:
    for name, (path, *_) in _NAMES.items():
        if name not in _FALLBACKS and "_inductor" not in path:
            try:
                __getattr__(name)
            except MissingName:
                return path
    return None


@contextmanager
def replaced(path: str, value: Any) -> Iterator[None]:
    """Within it `value` stands in torch under a dotted path, if something stands there."""
    owner, name = find(path.rpartition(".")[0]), path.rpartition(".")[2]
    before = getattr(owner, name, None)
    if before is None:
        yield
        return
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def own_operator(name: str) -> Any:
    """The operator of funcdl that `torch.library` has registered under a name."""
    return getattr(torch.ops.funcdl, name).default


# What is built on a private name.


def _versions(tensors: Iterable[Tensor]) -> list[int | None]:
    """How often each tensor has been written into; None where nobody counts that."""
    return [None if tensor.is_inference() else tensor._version for tensor in tensors]


def _storage_ids(tensors: Iterable[Tensor]) -> list[int]:
    """Identifies the memory of each tensor, also of those without data; a view has that of its base."""
    return [tensor.untyped_storage()._cdata for tensor in tensors]


def _transform_kinds() -> list[str] | None:
    """The transforms of `torch.func` under way by name, such as Grad and Vmap, the outermost first; None if unknown."""
    return [transform.key().name for transform in torch._C._functorch.get_interpreter_stack() or ()]


def _unwrap(tensor: Tensor) -> Tensor | None:
    """The tensor that all transforms of `torch.func` have wrapped, which plain autograd sees; None if unknown."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        tensor = functorch.get_unwrapped(tensor)
    return tensor


def _finds_cpp_compiler() -> bool:
    """Whether Inductor finds a C++ compiler."""
    from torch._inductor.cpp_builder import get_cpp_compiler  # imported here as it takes a second
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True


def _dispatch_mode(kind: str) -> Callable[[], Any]:
    get, key = torch._C._get_dispatch_mode, getattr(torch._C._TorchDispatchModeKey, kind)
    return lambda: get(key)


# What serves where torch lacks a name, by what torch documents or refuses in words.


def _functorch_refuses() -> bool:
    """Whether a transform of `torch.func` is under way: it refuses `requires_grad_`."""
    if torch.compiler.is_compiling():
        return True  # nobody can tell: whoever asks takes more care than may be needed
    try:
        torch.empty(0).requires_grad_()
    except RuntimeError:
        return True
    return False


def _system_has_cpp_compiler() -> bool:
    return any(map(shutil.which, ("g++", "clang++", "c++", "cl")))


def _forward_ad_takes_a_dual() -> bool:
    """Whether a forward derivative is under way: without one, torch makes no dual tensor."""
    try:
        forward_ad.make_dual(torch.zeros(()), torch.zeros(()))
    except RuntimeError:
        return False
    return True


# Where `replaced` puts something else while a function is compiled.
SCHEDULER_NODE = "torch._inductor.scheduler.SchedulerNode"
TENSORIFY = "torch._functorch._aot_autograd.graph_compile._apply_tensorify_python_scalars"

# For each name of ours the path of torch's, and what makes the attribute of what stands there, if it is not that.
_NAMES: dict[str, tuple[Any, ...]] = {
    # transforms under way, and what they wrap
    "functorch_is_active": ("torch._C._are_functorch_transforms_active",),
    "transform_kinds": ("torch._C._functorch.get_interpreter_stack", lambda _: _transform_kinds),
    "is_functorch_wrapped": ("torch._C._functorch.is_functorch_wrapped_tensor",),
    "is_batched": ("torch._C._functorch.is_batchedtensor",),
    "unwrap_once": ("torch._C._functorch.get_unwrapped",),
    "unwrap": ("torch._C._functorch.get_unwrapped", lambda _: _unwrap),
    "forward_ad_is_active": (
        "torch.autograd.forward_ad._current_level",
        lambda _: lambda: forward_ad._current_level >= 0,
    ),
    "versions": ("torch.Tensor._version", lambda _: _versions),
    # modes under way
    "proxy_mode": ("torch._C._get_dispatch_mode", lambda _: _dispatch_mode("PROXY")),
    "fake_mode": ("torch._C._get_dispatch_mode", lambda _: _dispatch_mode("FAKE")),
    "torch_function_modes": ("torch._C._len_torch_function_stack",),
    "autocast_is_enabled": ("torch._C._is_any_autocast_enabled",),
    "DisableAutocast": ("torch._C._DisableAutocast",),
    # tensors without data
    "FakeTensorMode": ("torch._subclasses.fake_tensor.FakeTensorMode",),
    "is_fake": ("torch._subclasses.fake_tensor.is_fake",),
    "unset_fake_temporarily": ("torch._subclasses.fake_tensor.unset_fake_temporarily",),
    "DataDependentOutput": ("torch._subclasses.fake_tensor.DataDependentOutputException",),
    "DynamicOutputShape": ("torch._subclasses.fake_tensor.DynamicOutputShapeException",),
    "ShapeEnv": ("torch.fx.experimental.symbolic_shapes.ShapeEnv",),
    "GuardOnDataDependent": ("torch.fx.experimental.symbolic_shapes.GuardOnDataDependentSymNode",),
    # tracing
    "make_fx": ("torch.fx.experimental.proxy_tensor.make_fx",),
    "disable_proxy_mode": ("torch.fx.experimental.proxy_tensor.disable_proxy_modes_tracing",),
    "TorchDispatchMode": ("torch.utils._python_dispatch.TorchDispatchMode",),
    "scan": ("torch._higher_order_ops.scan.scan",),
    "scan_op": ("torch._higher_order_ops.scan.scan_op",),
    "storage_ids": ("torch.UntypedStorage._cdata", lambda _: _storage_ids),
    # operators
    "OpOverload": ("torch._ops.OpOverload",),
    "schema": ("torch.ops.aten.add.Tensor._schema", lambda _: attrgetter("_schema")),
    "local_scalar_dense": ("torch.ops.aten._local_scalar_dense.default",),
    "to_copy": ("torch.ops.aten._to_copy.default",),
    "linalg_check_errors": ("torch.ops.aten._linalg_check_errors.default",),
    "philox_randint_": ("torch.ops.aten._philox_randint_",),
    "decompositions": ("torch._decomp.decomposition_table", lambda table: lambda: table),
    # Dynamo and Inductor
    "dynamo_config": ("torch._dynamo.config",),
    "GlobalStateGuard": ("torch._C._dynamo.guards.GlobalStateGuard",),
    "TensorGuards": ("torch._C._dynamo.guards.TensorGuards",),
    "CppCodeCache": ("torch._inductor.codecache.CppCodeCache",),
    "cpu_vec_isa": ("torch._inductor.cpu_vec_isa",),
    "has_cpp_compiler": ("torch._inductor.cpp_builder.get_cpp_compiler", lambda _: _finds_cpp_compiler),
    "StarDep": ("torch._inductor.dependencies.StarDep",),
    "WeakDep": ("torch._inductor.dependencies.WeakDep",),
    "SchedulerNode": (SCHEDULER_NODE,),
    "OrderedSet": ("torch.utils._ordered_set.OrderedSet",),
    "compile_fx": ("torch._inductor.compile_fx.compile_fx",),
    "TracingContext": ("torch._guards.TracingContext",),
    "tracing": ("torch._guards.tracing",),
}

_FALLBACKS: dict[str, Any] = {
    "functorch_is_active": _functorch_refuses,
    "transform_kinds": lambda: None if _functorch_refuses() else [],
    "is_functorch_wrapped": lambda tensor: _functorch_refuses(),  # it may be
    "unwrap": lambda tensor: None if _functorch_refuses() else tensor,
    "forward_ad_is_active": _forward_ad_takes_a_dual,
    "versions": lambda tensors: [None for _ in tensors],
    "proxy_mode": lambda: None,  # there is no tracing of ours then
    "fake_mode": lambda: None,
    "is_fake": lambda tensor: False,
    "has_cpp_compiler": _system_has_cpp_compiler,
    "decompositions": dict,
    "philox_randint_": None,  # `random.philox` makes the same words of plain operations
    "cpu_vec_isa": None,  # Inductor probes the instructions itself, one after the other
    "CppCodeCache": None,  # Inductor compiles the update of each leaf
}
