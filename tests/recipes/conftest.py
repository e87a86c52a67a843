import pytest
from matplotlib.figure import Figure

from funcdl import data, train
from tests.recipes import figures
from tests.recipes.small import sample


@pytest.fixture
def small_data(monkeypatch):
    split = sample()
    monkeypatch.setattr(data, "digits", lambda: split)


@pytest.fixture(autouse=True)
def every_picture_is_legible(monkeypatch):
    """Each picture that a test draws says what to see, and its texts are whole and apart from one another."""
    faults, picture = [], train.Report.picture

    def look(self, name, figure):
        if isinstance(figure, Figure):  # and not what a test puts in its place
            faults.extend(f"{name}: {fault}" for fault in figures.faults(figure))
        picture(self, name, figure)

    monkeypatch.setattr(train.Report, "picture", look)
    yield
    assert faults == []
