"""`jit(..., donate_argnums)` computes what the pure function computes, for programs drawn at random."""

import random as python_random

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from funcdl.transforms import jit
from funcdl.transforms.engine import backend
from funcdl.transforms.engine.multi_tensor import launch
from tests.transforms.engine.donated import compiled_together, same, storages, whole

# Programs over a few leaves, with planning but without compiling: cheap enough for many.

INSTRUCTIONS = {
    "copy": lambda a, b: a,
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - 2 * b,
    "flip": lambda a, b: a.flip(0),
    "written": lambda a, b: (a + b).sub_(b).add_(1),
    "double_transpose": lambda a, b: a.t().t(),
    "transpose": lambda a, b: a.t(),
    "reshape": lambda a, b: a.reshape(-1).view(3, 3),
    "row": lambda a, b: b[1].expand(3, 3),
    "swap_halves": lambda a, b: torch.cat([a[1:], b[:1]]),
    "zero": lambda a, b: torch.zeros_like(a),
    "detach": lambda a, b: a.detach(),
    "constant": lambda a, b: PROGRAM_CONSTANT,
}
PROGRAM_CONSTANT = whole(3, 3, start=3)


def interpret(program, leaves, other):
    registers = [*leaves, other]
    instructions, kept, out = program
    for name, first, second, target in instructions:
        registers[target] = INSTRUCTIONS[name](registers[first], registers[second])
    return tuple(registers[index] for index in kept), [registers[index] for index in out]


def initial(programs):
    return [tuple(whole(3, 3, start=index) for index in range(3)) for _ in programs]


OTHER = whole(3, 3, start=5)


def together(programs):
    """A function that runs all programs, each on a state of its own."""

    def f(states, other):
        pairs = [interpret(*pair, other) for pair in zip(programs, states, strict=True)]
        return [kept for kept, _ in pairs], [out for _, out in pairs]

    return f


def run_programs(programs, compiled=None):
    """Runs the programs three times, their states fed back, and compares them with the pure function."""
    f = together(programs)
    compiled, other = compiled or jit(f, donate_argnums=0), OTHER.clone()
    expected, states = initial(programs), initial(programs)
    for _ in range(3):
        expected, expected_out = f(expected, other)
        # A state fed back must be donatable: contiguous, and no leaf twice (jit's results never share memory).
        states, out = compiled(states, other)
        same((states, out), (expected, expected_out))
        assert len(set(storages(states, out))) == len(storages(states, out))
    same((other, PROGRAM_CONSTANT), (OTHER, whole(3, 3, start=3)))


register = st.integers(0, 3)
instruction = st.tuples(st.sampled_from(list(INSTRUCTIONS)), register, register, register)
program = st.tuples(st.lists(instruction, max_size=5), st.tuples(*[register] * 3), st.lists(register, max_size=3))


@given(program=program)
@settings(max_examples=150, deadline=None)
def test_plans_of_random_programs(program):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(backend, "compile_graph", lambda graph: graph.forward)
        run_programs([program])


@given(seed=st.integers(0, 2**32))
@settings(max_examples=1, deadline=None, phases=[Phase.generate])
def test_random_programs_with_all_that_may_be_outlined_outlined(seed):
    """Each program has a graph of its own, and all kernels are one C++ file."""
    numbered, kernels = {}, []

    def loaded(source):  # does nothing until all kernels are known
        number = numbered.setdefault(source, len(numbered))
        return lambda *arguments: kernels and kernels[0](number, *arguments)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(backend, "compile_graph", lambda graph: graph.forward)
        monkeypatch.setattr(backend, "compile_cpp", loaded)
        monkeypatch.setattr(backend, "compile_small", lambda graph: None)
        monkeypatch.setattr(launch, "MIN_GROUP", 1)
        compiled = []
        for program in some(300, seed):
            compiled.append(([program], jit(together([program]), donate_argnums=0)))
            states = initial([program])
            for _ in range(3):  # a later state may be of another form, and have kernels of its own
                states, _ = compiled[-1][1](states, OTHER)
        known = len(numbered)
        kernels.append(compiled_together(list(numbered)))
        for programs, f in compiled:
            run_programs(programs, f)
        assert len(numbered) == known > 10


def some(count, seed):
    """Programs drawn at random, for one graph."""
    draw = python_random.Random(seed)

    def registers(count):
        return tuple(draw.randrange(4) for _ in range(count))

    def one():
        instructions = [(draw.choice(list(INSTRUCTIONS)), *registers(3)) for _ in range(4)]
        return instructions, registers(3), registers(2)

    return [one() for _ in range(count)]


def test_random_programs_compiled():
    run_programs(some(12, seed=0))
