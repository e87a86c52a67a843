"""Batches by a DataLoader with workers: the lecture's arithmetic, and the same order for the same seed."""

import pytest

from funcdl import train
from recipes.classification import _workers, batching
from tests.recipes.small import call, real_data


def run(**flags):
    return batching.run(batching.Settings(**flags), train.Report()).metrics


@pytest.mark.parametrize(("batch_size", "sizes"), [(5, [5, 5]), (8, [8, 2]), (3, [3, 3, 3, 1]), (10, [10]), (99, [10])])
def test_ten_rows(batch_size, sizes):
    found = run(batch_size=batch_size)
    assert found["iterations"] == len(sizes)
    assert found["sizes"] == found["by_key"] == sizes
    assert found["dropped"] == 10 // batch_size
    assert found["pairs"] is found["repeats"] is found["by_hand"] is True
    for epoch in (1, 2, 3):
        batches = found[f"order_{epoch}"].split(" | ")
        assert [len(batch.split()) for batch in batches] == sizes
        assert sorted(int(x) for batch in batches for x in batch.split()) == list(range(1, 11))
    assert len({found[f"order_{epoch}"] for epoch in (1, 2, 3)}) == 3
    assert "order_4" not in found


def test_the_lectures_arithmetic():
    found = run(epochs=1)
    assert (found["iterations_80_8"], found["iterations_87_8"], found["iterations_759_32"]) == (10, 11, 24)
    assert (found["iterations_87_8_dropping"], found["last_87_8"]) == (10, 7)


def test_workers_are_other_processes_and_change_nothing():
    with_workers, without = run(seed=1), run(seed=1, workers=0)
    assert with_workers["readers"] >= 2
    assert without["readers"] == 0
    assert with_workers["order_1"] == without["order_1"]
    assert run(seed=2, workers=0)["order_1"] != without["order_1"]


def test_a_script_without_the_guard_is_refused_by_python():
    said = run(workers=0, epochs=1)["unguarded"]
    assert said.startswith("RuntimeError: An attempt has been made to start a new process before")
    assert len(said) < 200


def test_torchvision_has_the_lectures_data_sets():
    assert run(workers=0, epochs=1)["available"] == _workers.NAMED


def test_a_negative_number_of_workers(tmp_path):
    code, out, err = call("run", "batching", "--workers", "-1", "--out", tmp_path / "run")
    assert (code, out) == (2, [])
    assert err == ["funcdl: --workers -1: must be 0 or more"]


@pytest.mark.full
def test_the_lectures_table():
    found = run(dataset="diabetes", data_dir=real_data("diabetes"), batch_size=32, epochs=1)
    assert (found["rows"], found["iterations"], found["dropped"]) == (759, 24, 23)
    assert found["sizes"] == [32] * 23 + [23]
    assert found["repeats"]
    assert found["by_hand"]
