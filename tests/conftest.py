"""Fixtures that every battery shares."""

import gc
import os

import pytest
import torch

from funcdl.transforms.engine import backend
from tests.compile_with import counted
from tests.kernels_in_one_file import one_file_for_the_kernels_of_a_graph  # noqa: F401 (a fixture)

torch.set_num_threads(max(1, torch.get_num_threads() // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))))


def pytest_collection_finish():
    """Keeps the garbage collector from looking, at each of hundreds of graphs, through all that was imported."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    gc.unfreeze()  # extension modules report what is never collected as leaked


@pytest.fixture(params=["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"])  # thousands of skips take a while
def device(request):
    return torch.device(request.param)


@pytest.fixture(scope="session", autouse=True)
def traced_graphs_count_as_dynamos():
    """Adds the graphs that `jit` compiles without Dynamo to Dynamo's counter, which tests look at."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(backend, "compile_graph", counted(backend.compile_graph))
        monkeypatch.setattr(backend, "compile_small", counted(backend.compile_small))
        yield


@pytest.fixture(autouse=True)
def no_recompiles():
    """Makes Dynamo raise where it would silently compile the same code a second time."""
    with torch._dynamo.config.patch(error_on_recompile=True):
        yield


@pytest.fixture(autouse=True)
def global_randomness_is_left_alone():
    """Fails a test in which the library read or advanced torch's global generator."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(before, torch.get_rng_state()), "the global generator has moved; draw from keys (or a Generator)"
