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
    before = counters["stats"]["unique_graphs"]
    return lambda: counters["stats"]["unique_graphs"] - before
