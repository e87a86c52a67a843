"""Compilation of a pure function of trees to one graph, with donated arguments."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._C._dynamo.guards import GlobalStateGuard, TensorGuards

from funcdl import tree
from funcdl.context import functorch_is_active, in_graph, in_plain_gradient, without_data
from funcdl.transforms import donation, outlining, tracing, values
from funcdl.transforms.inductor import (
    beside_the_lookup_of_instructions,
    compiled,
    loaded,
    missing_compiler,
    once_through,
)
from funcdl.transforms.known_structure import leaves_finder
from funcdl.tree import Tree

_ONE_AT_A_TIME = threading.RLock()  # tracing changes what all threads see


def jit(f: Callable[..., Any], *, donate_argnums: int | Sequence[int] = ()) -> Callable[..., Any]:
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

    Source: `jax.jit`. As there, `f` runs once to be traced (`make_fx`), on tensors that know their shapes and not their
    values; `torch.compile(fullgraph=True)` compiles the operations that it called. Without a C++ compiler it warns once
    and runs `f` uncompiled.

    >>> double = jit(lambda params: {"w": 2 * params["w"]})
    >>> double({"w": torch.tensor([1.0, 2.0])})
    {'w': tensor([2., 4.])}
    """
    donated_args = (donate_argnums,) if isinstance(donate_argnums, int) else tuple(donate_argnums)
    known: dict[tree.Structure, list[_Programs]] = {}  # of one structure, with the keys of dicts in several orders

    def find(args: Any, kwargs: Any) -> tuple[_Program | None, list[Any]]:
        groups = [group for groups in list(known.values()) for group in groups]
        if len(groups) > 1:  # the message that a tree has not the structure of one of them would take long
            groups = known.get(tree.structure((args, kwargs)), [])
        for group in groups:
            leaves = group.leaves_of((args, kwargs))
            if leaves is not None and (program := _fitting(group.programs, leaves)):
                return program, leaves
        return None, []

    @functools.wraps(f)
    def jitted(*args: Any, **kwargs: Any) -> Any:
        if in_graph() or without_data() or in_plain_gradient() or functorch_is_active():
            return f(*args, **kwargs)
        program, leaves = find(args, kwargs)
        if program is not None:
            return program(leaves)
        with _ONE_AT_A_TIME:
            program, leaves = find(args, kwargs)
            if program is not None:  # another thread has made it meanwhile
                return program(leaves)
            leaves, structure = tree.flatten((args, kwargs))
            with once_through():
                program = _compile(f, args, kwargs, donated_args)
                results = program(leaves)
            groups = known.setdefault(structure, [])
            group = next((group for group in groups if group.leaves_of((args, kwargs)) is not None), None)
            if group is None:
                groups.append(group := _Programs(leaves_finder(structure), []))
            group.programs.append(program)
        return results

    return jitted


def _fitting(programs: list[_Program], leaves: list[Any]) -> _Program | None:
    for program in programs:
        if program.form.fits(leaves):
            return program
    return None


class _Form:
    """What a graph is compiled for: the forms of all leaves, which of them are one tensor, and torch's global settings.

    The checks are Dynamo's own, a tenth of a microsecond for each leaf. Its guards on what a function closes over would
    take longer than the kernels of a small step; they are left out.
    """

    def __init__(self, leaves: list[Tensor]) -> None:
        self.settings = GlobalStateGuard()
        self.default_device = _default_device()
        self.last = _last(leaves)
        unique = [leaves[index] for index in sorted(set(self.last))]
        self.tensors = TensorGuards(*unique, dynamic_dims_sizes=None, dynamic_dims_strides=None)
        self.all_unique = len(unique) == len(leaves)

    def fits(self, leaves: list[Tensor]) -> bool:
        if not self.settings.check() or self.default_device != _default_device():
            return False
        if self.all_unique:
            return self.tensors.check(*leaves)  # refuses one tensor in two places
        return _last(leaves) == self.last and self.tensors.check(*[leaves[index] for index in sorted(set(self.last))])


def _default_device() -> torch.device | None:
    """Where `torch.zeros` and its kin make a tensor; None for the CPU, where nothing else has been set."""
    return torch.get_default_device() if torch._C._len_torch_function_stack() else None


def _last(leaves: list[Tensor]) -> list[int]:
    """For each leaf the last place where the same tensor is among the leaves."""
    last = {id(leaf): index for index, leaf in enumerate(leaves)}
    return [last[id(leaf)] for leaf in leaves]


class _Program(NamedTuple):
    """One compiled graph, and for each result where to find it."""

    form: _Form
    run: Callable[..., list[Tensor]]
    result_structure: tree.Structure
    held_by: list[tuple[bool, int]]  # see `donation.Plan`
    donated: list[int]
    paths: list[str]

    def __call__(self, leaves: list[Tensor]) -> Tree:
        donation.refuse_shared_memory(leaves, self.donated, self.paths)
        outputs = donation.apart(self.run(*leaves)) if self.donated else self.run(*leaves)
        results = [leaves[index] if is_input else outputs[index] for is_input, index in self.held_by]
        return tree.unflatten(self.result_structure, results)


class _Programs(NamedTuple):
    """The programs for arguments of one structure, and what finds the leaves of these."""

    leaves_of: Callable[[Any], list[Any] | None]
    programs: list[_Program]


def _compile(f: Callable[..., Any], args: Any, kwargs: Any, donated_args: Sequence[int]) -> _Program:
    leaves, structure = tree.flatten((args, kwargs))
    if not all(isinstance(leaf, Tensor) for leaf in leaves):
        raise _not_a_tensor(f, "argument", (args, kwargs))
    form = _Form(leaves)
    skeleton = tree.unflatten(structure, range(len(leaves)))
    paths = [_argument_path(path) for path in tree.paths((args, kwargs))]
    for argnum in donated_args:
        if not 0 <= argnum < len(args):
            raise ValueError(
                f"jit: donate_argnums names argument {argnum}, but the call has {len(args)} positional arguments; pass "
                "what is donated by position"
            )
    donated = [index for argnum in donated_args for index in tree.leaves(skeleton[0][argnum])]
    for index in donated:
        if leaves[index].requires_grad:
            raise ValueError(f"jit: '{paths[index]}' is donated, but requires a gradient; detach it first")

    # A plan for such leaves would be wrong for others of their form.
    donation.refuse_shared_memory(leaves, donated, paths)

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
        return donation.overwrite(leaves, results, plan)

    on_cpu = any(leaf.device.type == "cpu" for leaf in leaves)
    name = f"jit({getattr(f, '__name__', 'f')})"
    with values.refused_in(name), beside_the_lookup_of_instructions() if on_cpu else nullcontext():
        graph = tracing.trace(call_and_plan, leaves)

    run: Callable[..., list[Tensor]]
    missing = missing_compiler() if any(t.device.type == "cpu" for t in [*leaves, *results]) else None
    if missing:
        _warn_once(f"jit: {missing}; running uncompiled, which is slower")
        run, plan = (lambda *leaves: call(*leaves)[0]), None
    elif any(t.requires_grad for t in [*leaves, *results]):  # gradients have to be those that `f` defines
        if tracing.was_rewritten(graph):  # which `torch.compile` is not
            _warn_once(f"{name}: as it indexes by a tensor and a gradient is required outside, it runs uncompiled")
            run, plan = (lambda *leaves: call(*leaves)[0]), None
        else:
            run = compiled(lambda *leaves: donation.overwrite(leaves, call(*leaves)[0], plan))
    else:
        outlined = outlining.outline(graph)
        run = compiled(graph.forward)
        if outlined:
            run = outlining.followed_by(run, outlined, loaded)
        if torch._C._is_any_autocast_enabled():
            run = _without_autocast(run)
    held_by = plan.held_by if plan else [(False, index) for index in range(len(results))]
    return _Program(form, run, result_structure, held_by, donated, paths)


def _without_autocast(run: Callable[..., list[Tensor]]) -> Callable[..., list[Tensor]]:
    """Autocast has put its casts into a traced graph, and is not to do so again between them."""

    def as_traced(*leaves: Tensor) -> list[Tensor]:
        with torch._C._DisableAutocast():
            return run(*leaves)

    return as_traced


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
