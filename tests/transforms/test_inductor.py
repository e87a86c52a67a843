"""What `jit` asks of Inductor beside compiling."""

import threading

import pytest
from torch._inductor import cpu_vec_isa

from funcdl.transforms import inductor


@pytest.fixture
def lookups(monkeypatch):
    """The threads in which Inductor looks up whether the processor has some kind of instructions."""
    threads = []

    class Kind:
        def __str__(self):
            return ""

        def __bool__(self):
            threads.append(threading.current_thread())
            return True

    monkeypatch.setattr(cpu_vec_isa, "supported_vec_isa_list", [Kind(), Kind()])
    return threads


def test_instructions_are_looked_up_beside_the_tracing(lookups):
    with inductor.beside_the_lookup_of_instructions():
        pass
    assert len(lookups) == 2
    assert threading.current_thread() not in lookups


def test_no_instructions_are_looked_up_that_this_processor_lacks(lookups, monkeypatch):
    monkeypatch.setattr(cpu_vec_isa.supported_vec_isa_list[0].__class__, "__str__", lambda kind: "avx1024")
    with inductor.beside_the_lookup_of_instructions():
        pass
    assert lookups == []


def test_nothing_is_looked_up_without_a_compiler(lookups, monkeypatch):
    monkeypatch.setattr(inductor, "missing_compiler", lambda: "none")
    with inductor.beside_the_lookup_of_instructions():
        pass
    assert lookups == []
