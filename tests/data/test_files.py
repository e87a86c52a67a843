from pathlib import Path

from funcdl.data import DataError, data_dir


def test_the_argument_goes_before_the_environment_and_that_before_the_default(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("FUNCDL_DATA", "/mnt/data")
    assert data_dir("here") == data_dir(Path("here")) == Path("here")
    assert data_dir() == Path("/mnt/data")
    assert data_dir("~/data") == Path("/home/somebody/data")
    monkeypatch.setenv("FUNCDL_DATA", "")
    assert data_dir() == Path("/home/somebody/.cache/funcdl")
    monkeypatch.delenv("FUNCDL_DATA")
    assert data_dir() == Path("/home/somebody/.cache/funcdl")


def test_a_data_error_is_a_value_error():
    assert issubclass(DataError, ValueError)
