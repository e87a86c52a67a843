"""Two clouds: the accuracy of the tutorial over seeds, the size of the network, the pictures."""

import pytest
from PIL import Image

from funcdl import train
from recipes.classification import blobs


@pytest.mark.parametrize("seed", range(5))
def test_it_separates_the_clouds_as_far_as_they_can_be(seed):
    report = train.Report()
    found = blobs.run(blobs.Settings(seed=seed, device="cpu"), report).metrics
    assert found["parameters"] == 52
    assert found["accuracy"] >= 0.98
    assert found["test_accuracy"] >= 0.98
    assert found["majority"] == 0.5
    assert sum(map(sum, found["confusion"])) == 200
    assert report.rows[-1]["epoch"] == 100
    assert report.rows[-1]["loss"] < report.rows[0]["loss"]


def test_the_seed_decides_everything_and_pictures_are_drawn(tmp_path):
    def run(seed, directory=None):
        report = train.Report(directory)
        found = blobs.run(blobs.Settings(seed=seed, epochs=5, device="cpu"), report).metrics
        report.close()
        return found

    assert run(1, tmp_path) == run(1)
    assert run(1)["loss"] != run(2)["loss"]
    for name in ("regions", "confusion"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width > 400


def test_scores_follow_from_the_confusion_matrix():
    found = blobs.run(blobs.Settings(epochs=1, seed=2, device="cpu"), train.Report()).metrics
    (a, b), (c, d) = found["confusion"]
    assert found["test_accuracy"] == pytest.approx((a + d) / 200)
    assert found["recall"] == pytest.approx([a / (a + b), d / (c + d)])
    precision = [a / (a + c) if a + c else 0, d / (b + d) if b + d else 0]
    assert found["precision"] == pytest.approx(precision)
    expected = [2 * p * r / (p + r) if p + r else 0 for p, r in zip(precision, found["recall"], strict=True)]
    assert found["f1"] == pytest.approx(expected)
