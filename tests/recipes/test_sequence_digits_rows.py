import pytest
import torch
from PIL import Image

from funcdl import train
from recipes.sequence import digits_rows
from recipes.settings import SettingsError


def run(report=None, **options):
    return digits_rows.run(digits_rows.Settings(device="cpu", **options), report or train.Report())


def test_rows_are_steps_of_numbers_from_0_to_1():
    images = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    images[1, 0, 3] = 255
    rows = digits_rows.rows_of(images)
    assert rows.shape == (2, 28, 28)
    assert rows[1, 3].tolist() == [1.0] * 28
    assert rows.sum() == 28


def test_it_reads_most_of_the_sample(tmp_path):
    report = train.Report(tmp_path)
    found = run(report).metrics
    report.close()
    assert found["test_accuracy"] >= 0.85
    assert [row["epoch"] for row in report.rows] == list(range(1, 7))
    for name in ("curves", "predictions"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert min(picture.size) > 200


@pytest.mark.full
def test_one_epoch_on_mnist_reads_94_percent():
    assert run(dataset="mnist").metrics["test_accuracy"] >= 0.94


@pytest.mark.usefixtures("small_data")
def test_the_seed_decides():
    results = [run(epochs=1, seed=seed).metrics["loss"] for seed in (3, 3, 4)]
    assert results[0] == results[1] != results[2]
    with pytest.raises(SettingsError, match="at most 96"):
        run(batch_size=97)
