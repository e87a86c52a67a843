"""Fixtures that every battery shares."""

import os

import pytest
import torch

torch.set_num_threads(max(1, torch.get_num_threads() // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))))


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return torch.device(request.param)


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
