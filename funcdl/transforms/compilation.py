"""Compilation of a pure function of trees to one graph, with donated arguments."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.fx import GraphModule

from funcdl import _torch, tree
from funcdl.context import functorch_is_active, in_fake_mode, in_graph, in_plain_gradient
from funcdl.transforms.engine import backend, donation, trace
from funcdl.transforms.engine.guards import Guard, leaf_lookup
from funcdl.transforms.engine.multi_tensor import launch
from funcdl.transforms.engine.value_errors import explain_value_errors
from funcdl.tree import Tree

P = ParamSpec("P")
R = TypeVar("R")

_COMPILE_LOCK = threading.RLock()  # tracing changes global state of torch


def jit(f: Callable[P, R], *, donate_argnums: int | Sequence[int] = ()) -> Callable[P, R]:
    """Compiles `f` to one graph for each combination of tree structure, key order, shapes and dtypes of its arguments.

    Whatever may change from call to call must be an argument and a tensor: what `f` closes over becomes a constant of
    the graph. Inside another `jit`, `grad` or `vmap`, a jitted function is just `f`.

    Args:
        f: a pure function whose arguments and results are trees of tensors.
        donate_argnums: positions of arguments whose memory the results may reuse. This saves an optimizer a copy of its
            parameters and state. The donated tree must not be used after the call; use the result instead. On the CPU,
            32 or more donated leaves with equal updates share one loop, which is compiled once for leaves of any size.

    Returns:
        A function with the arguments and results of `f`.

    Raises:
        TypeError: a leaf of the arguments or results is not a tensor, or `f` needs the value of a tensor while it is
            traced: as a size, as a Python number, or in an `if`. A 0-dim tensor may be an index (`x[i]`) or replace the
            number in an operation (`x.add(y, alpha=a)`).
        ValueError: a donated leaf requires a gradient or shares its memory with another leaf, or `f` draws from
            torch's generator.

    `torch.compile` can be combined with `jit`: around a jitted function, it compiles `f` as a part of its own graph,
    and `f` may call compiled functions. If plain autograd records an argument or a tensor that `f` closes over, `jit`
    uses `torch.compile(f, fullgraph=True)`, which keeps the gradients that `f` defines.

    Source: `jax.jit`. As in JAX, `f` runs once to be traced (`make_fx`), on tensors that have shapes but no values.
    Inductor then compiles the recorded operations. Without a C++ compiler `jit` warns once and runs `f` uncompiled. If
    torch lacks a private name that tracing needs, it warns once and uses `torch.compile(f)`, or `f` itself if that
    fails; nothing is donated then.

    >>> double = jit(lambda params: {"w": 2 * params["w"]})
    >>> double({"w": torch.tensor([1.0, 2.0])})
    {'w': tensor([2., 4.])}
    """
    donated_args = (donate_argnums,) if isinstance(donate_argnums, int) else tuple(donate_argnums)
    # The programs by the structure of the arguments. The order of dict keys is not part of a structure, so that several
    # groups may have the same one.
    cache: dict[tree.Structure, list[_ProgramGroup]] = {}
    compiled_by_torch: Callable[..., Any] | None = None

    def find(args: Any, kwargs: Any) -> tuple[_Program | None, list[Any]]:
        groups = [group for groups in list(cache.values()) for group in groups]
        if len(groups) > 1:  # one lookup is faster than letting each other group find out that it does not match
            groups = cache.get(tree.structure((args, kwargs)), [])
        for group in groups:
            leaves = group.leaves_of((args, kwargs))
            if leaves is not None:
                for program in group.programs:
                    if program.guard.holds(leaves):
                        return program, leaves
        return None, []

    @functools.wraps(f)
    def jitted(*args: P.args, **kwargs: P.kwargs) -> R:
        if in_graph() or in_fake_mode() or in_plain_gradient() or functorch_is_active():
            return f(*args, **kwargs)
        program, leaves = find(args, kwargs)
        if program is not None:
            return program(leaves)
        with _COMPILE_LOCK:
            program, leaves = find(args, kwargs)
            if program is not None:  # another thread compiled it in the meantime
                return program(leaves)
            leaves, structure = tree.flatten((args, kwargs))
            if not all(isinstance(leaf, Tensor) for leaf in leaves):
                raise _not_a_tensor(f, "argument", (args, kwargs))
            if missing := _torch.missing_to_trace():
                nonlocal compiled_by_torch
                compiled_by_torch = compiled_by_torch or _compile_by_torch(f, missing)
                return compiled_by_torch(*args, **kwargs)
            with backend.compiling():
                program = _compile(f, args, kwargs, donated_args)
                results = program(leaves)
            groups = cache.setdefault(structure, [])
            group = next((group for group in groups if group.leaves_of((args, kwargs)) is not None), None)
            if group is None:
                groups.append(group := _ProgramGroup(leaf_lookup(structure), []))
            group.programs.append(program)
        return results

    return jitted


class _Program(NamedTuple):
    """A compiled graph, the guard that tells when it is valid, and where each result is after it has run."""

    guard: Guard
    run: Callable[..., list[Tensor]]
    result_structure: tree.Structure
    output_sources: list[tuple[bool, int]]  # see `donation.Plan`
    donated: list[int]
    paths: list[str]

    def __call__(self, leaves: list[Tensor]) -> Tree:
        donation.refuse_shared_memory(leaves, self.donated, self.paths)
        outputs = donation.clone_aliased(self.run(*leaves)) if self.donated else self.run(*leaves)
        results = [leaves[index] if is_input else outputs[index] for is_input, index in self.output_sources]
        return tree.unflatten(self.result_structure, results)


class _ProgramGroup(NamedTuple):
    """The programs for arguments of one structure and key order, and a function that finds the leaves of those."""

    leaves_of: Callable[[Any], list[Any] | None]
    programs: list[_Program]


def _compile(f: Callable[..., Any], args: Any, kwargs: Any, donated_args: Sequence[int]) -> _Program:
    leaves, structure = tree.flatten((args, kwargs))
    guard = Guard(leaves)
    skeleton = tree.unflatten(structure, range(len(leaves)))
    paths = [_argument_path(path) for path in tree.paths((args, kwargs))]
    donated = _donated_leaves(donated_args, skeleton[0])
    for index in donated:
        if leaves[index].requires_grad:
            raise ValueError(f"jit: '{paths[index]}' is donated, but requires a gradient; detach it first")
    donation.refuse_shared_memory(leaves, donated, paths)  # the plan depends on which leaves share memory

    def call(*leaves: Tensor) -> tuple[list[Tensor], tree.Structure]:
        args, kwargs = tree.rebuild(skeleton, leaves)
        return tree.flatten(f(*args, **kwargs))

    results: list[Tensor] = []
    result_structure: tree.Structure = None
    plan: donation.Plan | None = None

    def call_and_plan(*leaves: Tensor) -> list[Tensor]:
        nonlocal results, result_structure, plan
        results, result_structure = call(*leaves)
        if not all(isinstance(result, Tensor) for result in results):
            raise _not_a_tensor(f, "result", tree.unflatten(result_structure, results))
        plan = donation.make_plan(leaves, results, donated) if donated else None
        return donation.overwrite_donated(leaves, results, plan)

    on_cpu = any(leaf.device.type == "cpu" for leaf in leaves)
    name = f"jit({getattr(f, '__name__', 'f')})"
    with explain_value_errors(name), backend.probe_isa_in_background() if on_cpu else nullcontext():
        graph = trace.trace(call_and_plan, leaves)

    run: Callable[..., list[Tensor]]
    missing = backend.missing_compiler() if any(t.device.type == "cpu" for t in [*leaves, *results]) else None
    if missing:
        _warn_once(f"jit: {missing}; running uncompiled, which is slower")
        run, plan = (lambda *leaves: call(*leaves)[0]), None
    elif any(t.requires_grad for t in [*leaves, *results]):  # the gradients have to be those that `f` defines
        if trace.was_rewritten(graph):  # `torch.compile` would compile `f` wrongly
            _warn_once(
                f"{name}: runs uncompiled, because it indexes by a tensor and is differentiated from outside; compile "
                "around the gradient instead, as jit(grad(f))"
            )
            run, plan = (lambda *leaves: call(*leaves)[0]), None
        else:
            run = backend.compile_function(lambda *leaves: donation.overwrite_donated(leaves, call(*leaves)[0], plan))
    else:
        run = _compile_graph(graph)
    sources = plan.output_sources if plan else [(False, index) for index in range(len(results))]
    return _Program(guard, run, result_structure, sources, donated, paths)


def _donated_leaves(donated_args: Sequence[int], leaf_indices: Sequence[Tree]) -> list[int]:
    """Returns the indices of the donated leaves; `leaf_indices` has a tree of them for each positional argument."""
    for argnum in donated_args:
        if not 0 <= argnum < len(leaf_indices):
            raise ValueError(
                f"jit: donate_argnums names argument {argnum}, but the call has {len(leaf_indices)} positional "
                "arguments; pass donated arguments by position"
            )
    return [index for argnum in donated_args for index in tree.leaves(leaf_indices[argnum])]


def _compile_graph(graph: GraphModule) -> Callable[..., list[Tensor]]:
    if small := backend.compile_small(graph):
        return small
    kernels = launch.extract_kernels(graph) if _torch.CppCodeCache else []
    if not _torch.autocast_is_enabled():
        run = backend.compile_graph(graph)
        return launch.launch_after(run, kernels, backend.compile_cpp) if kernels else run
    with _torch.DisableAutocast():  # the casts are already in the graph
        run = backend.compile_graph(graph)
    run = launch.launch_after(run, kernels, backend.compile_cpp) if kernels else run

    def run_without_autocast(*leaves: Tensor) -> list[Tensor]:
        with _torch.DisableAutocast():
            return run(*leaves)

    return run_without_autocast


def _compile_by_torch(f: Callable[..., Any], missing: str) -> Callable[..., Any]:
    """Returns `f` compiled by `torch.compile`; once a call of that fails, the result calls `f` itself."""
    lacking = f"jit: torch {torch.__version__} lacks {missing}, which funcdl needs for tracing"
    if no_compiler := backend.missing_compiler():
        _warn_once(f"{lacking}, and {no_compiler}; running uncompiled, which is slower")
        return f
    _warn_once(f"{lacking}; compiling by torch.compile, without donation")
    run = torch.compile(f)

    def compiled(*args: Any, **kwargs: Any) -> Any:
        nonlocal run
        try:
            return run(*args, **kwargs)
        except Exception as error:
            if run is f:
                raise
            results = f(*args, **kwargs)  # raises the original error if it comes from `f`
            _warn_once(f"jit: torch.compile fails ({type(error).__name__}); running uncompiled, which is slower")
            run = f
            return results

    return compiled


@functools.cache
def _warn_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=4)


def _argument_path(path: str) -> str:
    return path.partition(".")[2]  # drops the leading 0 or 1: the tree is (args, kwargs)


def _not_a_tensor(f: Callable[..., Any], what: str, values: Tree) -> TypeError:
    path, leaf = next((p, leaf) for p, leaf in tree.leaves_with_paths(values) if not isinstance(leaf, Tensor))
    name = getattr(f, "__name__", "f")
    if what == "argument":
        path, way_out = _argument_path(path), "pass a tensor, or close over a number that never changes"
    else:
        way_out = "return tensors only"
    where = f"{what} '{path}'" if path else f"the {what}"
    return TypeError(f"jit({name}): {where} is {leaf!r} of type {type(leaf).__name__}; {way_out}")
