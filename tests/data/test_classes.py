"""The tables of classification: what is read from them, and what is refused."""

import gzip

import pytest
import torch

from funcdl import data, random
from tests.recipes.small import real_data


def written(folder, name, text, *, packed=False):
    path = folder / name
    path.parent.mkdir()
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return folder


GOOD = "-0.5,0,0.25,1,-1,0,0.5,0.125,1\n0,0,0,0,0,0,0,0,0\n"


@pytest.mark.parametrize(("name", "packed"), [("diabetes.csv", False), ("diabetes.csv.gz", True)])
def test_diabetes_keeps_the_column_of_labels(tmp_path, name, packed):
    inputs, labels = data.diabetes(written(tmp_path, f"diabetes/{name}", GOOD, packed=packed))
    assert inputs.dtype == labels.dtype == torch.float32
    assert torch.equal(inputs, torch.tensor([[-0.5, 0, 0.25, 1, -1, 0, 0.5, 0.125], [0.0] * 8]))
    assert torch.equal(labels, torch.tensor([[1.0], [0.0]]))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["line 1", "empty"]),
        (GOOD + "1,2,3\n", ["line 3", "3 columns", "expected 9"]),
        (GOOD + "1,2,3,4,five,6,7,8,1\n", ["line 3", "column 5", "'five'"]),
        (GOOD + "1,2,3,4,,6,7,8,1\n", ["line 3", "column 5", "''"]),
        (GOOD + "1,2,3,4,5,6,7,8,0.5\n", ["row 3", "column 9", "0.5", "0 or 1"]),
    ],
)
def test_diabetes_that_is_damaged(tmp_path, text, parts):
    with pytest.raises(data.DataError) as error:
        data.diabetes(written(tmp_path, "diabetes/diabetes.csv", text))
    assert all(part in str(error.value) for part in ["diabetes.csv", *parts]), error.value


def test_credit_counts_classes_from_zero(tmp_path):
    row = "  1   6 " + " 3" * 22
    folder = written(tmp_path, "credit/german.data-numeric", f"{row} 1 \n{row} 2 \n")
    attributes, classes = data.credit(folder)
    assert attributes.shape == (2, 24)
    assert attributes[0, :3].tolist() == [1, 6, 3]
    assert classes.tolist() == [0, 1]
    assert classes.dtype == torch.int64


def test_otto_is_read_by_the_names_of_its_columns(tmp_path):
    names = ["target", *(f"feat_{n}" for n in range(93, 0, -1)), "id"]  # in another order than the file's
    rows = [[f"Class_{9 - i}", *map(str, range(93, 0, -1)), "7"] for i in range(3)]
    text = "\n".join(",".join(row) for row in [names, *rows])
    counts, classes = data.otto(written(tmp_path, "otto/train.csv.gz", text, packed=True))
    assert torch.equal(counts, torch.arange(1.0, 94).expand(3, 93))
    assert classes.tolist() == [8, 7, 6]


@pytest.mark.parametrize("source", [data.otto, data.titanic])
def test_missing_kaggle_files_are_named_with_their_address(tmp_path, source):
    with pytest.raises(
        data.DataError, match=r"train\.csv is missing, .* https://www\.kaggle\.com/competitions/\S+/data"
    ):
        source(tmp_path)


def test_synthetic_passengers_look_like_the_real_ones():
    values, survived = data.synthetic_passengers(random.key(1))
    grade, female, age, siblings, parents, fare, port = values.T
    assert set(grade.tolist()) == {1, 2, 3}
    assert set(female.tolist()) == {0, 1}
    assert 100 < age.isnan().sum() < 250
    assert port.isnan().sum() == 2
    assert 1 <= age[~age.isnan()].min() <= age[~age.isnan()].max() <= 75
    assert siblings.max() <= 3
    assert parents.max() <= 3
    assert fare.min() > 0
    assert fare[grade == 1].mean() > 2 * fare[grade == 3].mean()
    assert survived[female == 1].mean() > survived[female == 0].mean() + 0.3
    again = data.synthetic_passengers(random.key(1))
    assert torch.equal(again.survived, survived)
    assert not torch.equal(data.synthetic_passengers(random.key(2)).survived, survived)


@pytest.mark.full
def test_the_published_tables():
    path = real_data("otto")
    inputs, labels = data.diabetes(path)
    assert (inputs.shape, labels.sum(), inputs.max()) == ((759, 8), 496, 1)
    assert -1 < inputs.min() < -0.99  # every -1 was made 0
    attributes, classes = data.credit(path)
    assert (attributes.shape, classes.bincount().tolist()) == ((1000, 24), [700, 300])
    counts, classes = data.otto(path)
    assert counts.shape == (61_878, 93)
    assert classes.bincount()[1] == 16_122
    assert torch.equal(classes, classes.sort().values)
    values, survived = data.titanic(path)
    assert (values.shape, survived.sum()) == ((891, 7), 342)
