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
from funcdl.context import functorch_is_active, in_graph, in_plain_gradient, without_data
from funcdl.transforms.engine import backend, donation, trace
from funcdl.transforms.engine.guards import Guard, leaf_lookup
from funcdl.transforms.engine.multi_tensor import launch
from funcdl.transforms.engine.value_errors import explain_value_errors
from funcdl.tree import Tree

P = ParamSpec("P")
R = TypeVar("R")

_ONE_AT_A_TIME = threading.RLock()  # tracing changes what all threads see


def jit(f: Callable[P, R], *, donate_argnums: int | Sequence[int] = ()) -> Callable[P, R]:
    """Compiles `f` to one graph for each structure, order of keys, shape and dtype of its arguments.

    Whatever may change from call to call is an argument, a tensor: what `f` closes over is compiled in. Inside another
    `jit`, or under `grad` or `vmap`, a jitted function is just `f`.

    Args:
        f: a pure function whose arguments and results are trees of tensors.
        donate_argnums: positions of arguments whose memory the results may reuse, which saves an optimizer a copy of
            all that it holds. The caller's own tree is gone after the call: go on with the result. On the CPU, 32 or
            more donated leaves that are updated alike share one loop, compiled once for leaves of any size.

    Returns:
        A function with the arguments and results of `f`.

    Raises:
        TypeError: a leaf of the arguments or results is not a tensor, or `f` asks for the value of one that it is
            given or computes: as a size, a number of Python, or in an `if`. It may index by a 0-dim tensor (`x[i]`) and
            pass one where an operation takes a number (`x.add(y, alpha=a)`).
        ValueError: a donated leaf requires a gradient, or shares its memory with another leaf; or `f` draws from
            torch's generator.

    `torch.compile` may be used with all of this: around a jitted function it compiles `f` as a part of its own graph,
    and what it has compiled may be called within `f`. Where plain autograd records an argument, or a tensor that `f`
    closes over, `jit` itself is `torch.compile(f, fullgraph=True)`, whose gradients are those that `f` defines.

    Source: `jax.jit`. As there, `f` runs once to be traced (`make_fx`), on tensors that know their shapes and not their
    values; Inductor compiles the operations that it called. Without a C++ compiler it warns once and runs `f`
    uncompiled. With a torch whose private names for this are not those that funcdl knows, it warns once and is plain
    `torch.compile(f)`, or `f` where that fails, and nothing is donated.

    >>> double = jit(lambda params: {"w": 2 * params["w"]})
    >>> double({"w": torch.tensor([1.0, 2.0])})
    {'w': tensor([2., 4.])}
    """
    donated_args = (donate_argnums,) if isinstance(donate_argnums, int) else tuple(donate_argnums)
    # By the structure of the arguments; of one structure the keys of dicts may come in several orders.
    known: dict[tree.Structure, list[_Programs]] = {}
    untraced: Callable[..., Any] | None = None

    def find(args: Any, kwargs: Any) -> tuple[_Program | None, list[Any]]:
        groups = [group for groups in list(known.values()) for group in groups]
        if len(groups) > 1:  # the message that a tree has not the structure of one of them would take long
            groups = known.get(tree.structure((args, kwargs)), [])
        for group in groups:
            leaves = group.leaves_of((args, kwargs))
            if leaves is not None:
                for program in group.programs:
                    if program.guard.holds(leaves):
                        return program, leaves
        return None, []

    @functools.wraps(f)
    def jitted(*args: P.args, **kwargs: P.kwargs) -> R:
        if in_graph() or without_data() or in_plain_gradient() or functorch_is_active():
            return f(*args, **kwargs)
        program, leaves = find(args, kwargs)
        if program is not None:
            return program(leaves)
        with _ONE_AT_A_TIME:
            program, leaves = find(args, kwargs)
            if program is not None:  # another thread has compiled it meanwhile
                return program(leaves)
            leaves, structure = tree.flatten((args, kwargs))
            if not all(isinstance(leaf, Tensor) for leaf in leaves):
                raise _not_a_tensor(f, "argument", (args, kwargs))
            if missing := _torch.missing_to_trace():
                nonlocal untraced
                untraced = untraced or _compile_untraced(f, missing)
                return untraced(*args, **kwargs)
            with backend.compiling():
                program = _compile(f, args, kwargs, donated_args)
                results = program(leaves)
            groups = known.setdefault(structure, [])
            group = next((group for group in groups if group.leaves_of((args, kwargs)) is not None), None)
            if group is None:
                groups.append(group := _Programs(leaf_lookup(structure), []))
            group.programs.append(program)
        return results

    return jitted


class _Program(NamedTuple):
    """One compiled graph, when it serves, and where to find each result after it has run."""

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


class _Programs(NamedTuple):
    """The programs for arguments of one structure, and the function that finds the leaves of such arguments."""

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
    donation.refuse_shared_memory(leaves, donated, paths)  # the plan would be wrong for leaves that share none

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
    elif any(t.requires_grad for t in [*leaves, *results]):  # gradients have to be those that `f` defines
        if trace.was_rewritten(graph):  # which `torch.compile` is not
            _warn_once(f"{name}: as it indexes by a tensor and a gradient is required outside, it runs uncompiled")
            run, plan = (lambda *leaves: call(*leaves)[0]), None
        else:
            run = backend.compile_function(lambda *leaves: donation.overwrite_donated(leaves, call(*leaves)[0], plan))
    else:
        run = _compile_graph(graph)
    sources = plan.output_sources if plan else [(False, index) for index in range(len(results))]
    return _Program(guard, run, result_structure, sources, donated, paths)


def _donated_leaves(donated_args: Sequence[int], places: Sequence[Tree]) -> list[int]:
    """The indices of the donated leaves, which stand in `places` for each argument."""
    for argnum in donated_args:
        if not 0 <= argnum < len(places):
            raise ValueError(
                f"jit: donate_argnums names argument {argnum}, but the call has {len(places)} positional arguments; "
                "pass what is donated by position"
            )
    return [index for argnum in donated_args for index in tree.leaves(places[argnum])]


def _compile_graph(graph: GraphModule) -> Callable[..., list[Tensor]]:
    if small := backend.compile_small(graph):
        return small
    kernels = launch.extract_kernels(graph) if _torch.CppCodeCache else []
    if not _torch.autocast_is_enabled():
        run = backend.compile_graph(graph)
        return launch.launch_after(run, kernels, backend.compile_cpp) if kernels else run
    with _torch.DisableAutocast():  # its casts are in the graph
        run = backend.compile_graph(graph)
    run = launch.launch_after(run, kernels, backend.compile_cpp) if kernels else run

    def run_without_autocast(*leaves: Tensor) -> list[Tensor]:
        with _torch.DisableAutocast():
            return run(*leaves)

    return run_without_autocast


def _compile_untraced(f: Callable[..., Any], missing: str) -> Callable[..., Any]:
    """Returns `f` compiled by `torch.compile`, or `f` from the first call on that this fails at."""
    lacking = f"jit: torch {torch.__version__} lacks {missing}, which funcdl traces by"
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
            results = f(*args, **kwargs)  # raises the errors of `f` as they are
            _warn_once(f"jit: torch.compile fails ({type(error).__name__}); running uncompiled, which is slower")
            run = f
            return results

    return compiled


@functools.cache
def _warn_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=4)


def _argument_path(path: str) -> str:
    return path.partition(".")[2]  # the trees are (args, kwargs): drops the 0 or 1 in front


def _not_a_tensor(f: Callable[..., Any], what: str, values: Tree) -> TypeError:
    path, leaf = next((p, leaf) for p, leaf in tree.leaves_with_paths(values) if not isinstance(leaf, Tensor))
    name = getattr(f, "__name__", "f")
    if what == "argument":
        path, way_out = _argument_path(path), "pass a tensor, or close over a number that never changes"
    else:
        way_out = "return tensors only"
    where = f"{what} '{path}'" if path else f"the {what}"
    return TypeError(f"jit({name}): {where} is {leaf!r} of type {type(leaf).__name__}; {way_out}")
