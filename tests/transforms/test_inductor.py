"""What `jit` asks of Inductor beside compiling."""

import threading

import pytest
import torch
from torch._inductor import cpu_vec_isa

from funcdl.transforms import inductor, jit


@pytest.fixture
def lookups(monkeypatch):
    """The threads in which Inductor looks up the processor's instructions."""
    threads, pick = [], cpu_vec_isa.pick_vec_isa

    def recorded():
        threads.append(threading.current_thread())
        return pick()

    monkeypatch.setattr(cpu_vec_isa, "pick_vec_isa", recorded)
    return threads


def test_instructions_are_looked_up_beside_the_tracing(lookups):
    assert torch.equal(jit(lambda x: x + 1)(torch.ones(2)), torch.full((2,), 2.0))
    assert lookups[0] is not threading.current_thread()


def test_nothing_is_looked_up_without_a_compiler(lookups, monkeypatch):
    monkeypatch.setattr(inductor, "missing_compiler", lambda: "none")
    with inductor.beside_the_lookup_of_instructions():
        pass
    assert lookups == []
