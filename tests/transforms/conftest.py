"""Fixtures that the tests of `jit` share."""

import pytest
from torch._dynamo.utils import counters

from tests.compile_with import compile_with


@pytest.fixture
def without_inductor(monkeypatch):
    """Leaves tracing, guards and limits as they are, but compiles nothing behind them."""
    compile_with("eager", monkeypatch)


@pytest.fixture
def compiled_graphs():
    """Returns the function that counts the graphs compiled since the test began, by `jit` and by Dynamo."""
    before = counters["stats"]["unique_graphs"]
    return lambda: counters["stats"]["unique_graphs"] - before
