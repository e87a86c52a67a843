"""Fixtures that the tests of `jit` share."""

import functools

import pytest
import torch
from torch._dynamo.utils import counters


@pytest.fixture
def without_inductor(monkeypatch):
    """Leaves Dynamo's tracing, guards and limits as they are, but compiles nothing behind it."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))


@pytest.fixture
def compiled_graphs():
    """Returns the function that counts the graphs compiled since the test began."""
    before = counters["aot_autograd"]["total"]  # Dynamo's own count lacks the kernels of `outlining`
    return lambda: counters["aot_autograd"]["total"] - before
