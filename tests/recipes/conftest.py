import pytest

from funcdl import data
from tests.recipes.small import sample


@pytest.fixture
def small_data(monkeypatch):
    split = sample()
    monkeypatch.setattr(data, "digits", lambda: split)
