"""All access to torch's private names: no other file of the library uses one.

A name is private if torch may rename or remove it in any version. These are all names that begin with an underscore
(modules, functions, classes, attributes, operators), and everything in `torch.fx.experimental`. Each has a name in this
module. It is looked up when it is first used and is an attribute of this module from then on; `import funcdl` looks up
none. Therefore write `_torch.is_fake`, never `from funcdl._torch import is_fake`.

If torch lacks a name, its value in `_FALLBACKS` is used: a slower implementation by public functions, or a value that
is correct without tracing and transforms. A name without a fallback is needed only for tracing and compiling; using it
raises a `MissingName`. `missing_to_trace` checks for that, so that `jit`, `scan` and `eval_shape` can do without.
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
    """Imports the modules of a dotted path and returns the object there; None if it does not exist.

    >>> find("torch.nn.functional.relu").__name__, find("torch.no.such.name")
    ('relu', None)
    """
    first, *names = path.split(".")
    found: Any = importlib.import_module(first)
    so_far = first
    for name in names:
        so_far = f"{so_far}.{name}"
        if isinstance(found, ModuleType):  # a module is preferred to a function of the same name in its package
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
    """Looks up a name from `_NAMES`; Python calls this for an attribute that the module does not have yet."""
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
    """A private name does not exist in the installed torch."""


def constant_in_graph(f: F) -> F:
    """Decorator that makes Dynamo call the function while tracing and treat its result as a constant of the graph.

    It does the same as `torch.compiler.assume_constant_result`, which would import Dynamo and take as long as importing
    all of torch.
    """
    f._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return f


@constant_in_graph
def missing_to_trace() -> str | None:
    """Returns the first private name that tracing needs and torch lacks; None if it lacks none."""
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
    """Context manager that replaces the object at a dotted path in torch with `value`, if the path exists."""
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
    """Returns the operator of that name that funcdl has registered with `torch.library`."""
    return getattr(torch.ops.funcdl, name).default


# Functions that use private names.


def _versions(tensors: Iterable[Tensor]) -> list[int | None]:
    """Returns the version counter of each tensor, which each write increments; None for inference tensors."""
    return [None if tensor.is_inference() else tensor._version for tensor in tensors]


def _storage_ids(tensors: Iterable[Tensor]) -> list[int]:
    """Returns a number that identifies the storage of each tensor, real or fake; a view has that of its base."""
    return [tensor.untyped_storage()._cdata for tensor in tensors]


def _transform_kinds() -> list[str] | None:
    """Returns the names of the active transforms of `torch.func`, such as Grad and Vmap, outermost first."""
    return [transform.key().name for transform in torch._C._functorch.get_interpreter_stack() or ()]


def _unwrap(tensor: Tensor) -> Tensor | None:
    """Returns the tensor inside all wrappers of `torch.func` transforms, which plain autograd sees."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        tensor = functorch.get_unwrapped(tensor)
    return tensor


def _finds_cpp_compiler() -> bool:
    """Whether Inductor finds a C++ compiler."""
    from torch._inductor.cpp_builder import get_cpp_compiler  # imported here because it takes a second
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True


def _dispatch_mode(kind: str) -> Callable[[], Any]:
    get, key = torch._C._get_dispatch_mode, getattr(torch._C._TorchDispatchModeKey, kind)
    return lambda: get(key)


# Fallbacks, by documented functions and errors of torch.


def _functorch_refuses() -> bool:
    """Whether a transform of `torch.func` is active: it makes `requires_grad_` raise an error."""
    if torch.compiler.is_compiling():
        return True  # this cannot be known; True is the safe answer
    try:
        torch.empty(0).requires_grad_()
    except RuntimeError:
        return True
    return False


def _system_has_cpp_compiler() -> bool:
    return any(map(shutil.which, ("g++", "clang++", "c++", "cl")))


def _forward_ad_takes_a_dual() -> bool:
    """Whether forward-mode differentiation is active: otherwise torch creates no dual tensor."""
    try:
        forward_ad.make_dual(torch.zeros(()), torch.zeros(()))
    except RuntimeError:
        return False
    return True


# Paths for `replaced`, while a function is compiled.
SCHEDULER_NODE = "torch._inductor.scheduler.SchedulerNode"
TENSORIFY = "torch._functorch._aot_autograd.graph_compile._apply_tensorify_python_scalars"

# For each name in this module, the path in torch, and optionally a function from the object there to the attribute.
_NAMES: dict[str, tuple[Any, ...]] = {
    # active transforms, and the tensors that they wrap
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
    # active modes
    "proxy_mode": ("torch._C._get_dispatch_mode", lambda _: _dispatch_mode("PROXY")),
    "fake_mode": ("torch._C._get_dispatch_mode", lambda _: _dispatch_mode("FAKE")),
    "torch_function_modes": ("torch._C._len_torch_function_stack",),
    "autocast_is_enabled": ("torch._C._is_any_autocast_enabled",),
    "DisableAutocast": ("torch._C._DisableAutocast",),
    # fake tensors
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
    "is_functorch_wrapped": lambda tensor: _functorch_refuses(),  # the safe answer
    "unwrap": lambda tensor: None if _functorch_refuses() else tensor,
    "forward_ad_is_active": _forward_ad_takes_a_dual,
    "versions": lambda tensors: [None for _ in tensors],
    "proxy_mode": lambda: None,  # funcdl does not trace then
    "fake_mode": lambda: None,
    "is_fake": lambda tensor: False,
    "has_cpp_compiler": _system_has_cpp_compiler,
    "decompositions": dict,
    "philox_randint_": None,  # `random.philox` computes the same words by plain operations
    "cpu_vec_isa": None,  # Inductor then tests the instruction sets itself, one after the other
    "CppCodeCache": None,  # Inductor then compiles the update of each leaf
}
