"""What the classifiers of tables and points predict: the same from numbers and from a file, as they were trained."""

import json

import pytest
import torch

from funcdl import data, random
from recipes.classification import _passengers, _products, credit, diabetes, otto
from tests.recipes.small import call

QUICK = {
    "titanic": ("--epochs", 20),
    "credit": ("--epochs", 100, "--lr", 0.02),
    "diabetes": ("--activation", "relu", "--epochs", 200),
    "otto": ("--epochs", 3),
    "blobs": (),
    "logistic": (),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Trains a recipe once, and returns its folder and its results."""
    made = {}

    def run(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name) / "run"
            code, out, err = call("run", name, *QUICK[name], "--device", "cpu", "--json", "--out", folder)
            assert code == 0, err
            made[name] = folder, json.loads(out[-1])["metrics"]
        return made[name]

    return run


def predict(folder, *inputs):
    code, out, err = call("predict", folder, "--json", *inputs)
    assert code == 0, err
    return json.loads(out[0])


def text_of(row):
    return ",".join(repr(value) for value in row.tolist())


def test_points_and_students(runs):
    upper, lower = predict(runs("blobs")[0], "2,2.5", "-1.5,-3")
    assert (upper["prediction"], lower["prediction"]) == ("0 (upper right)", "1 (lower left)")
    assert sum(upper["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    folder, found = runs("logistic")
    one, three, four = predict(folder, "1", "3", "4")
    assert (one["prediction"], three["prediction"]) == ("fail", "pass")
    passing = [student["probabilities"]["pass"] for student in (one, three)]
    assert passing == pytest.approx([found["probabilities"][0], found["probabilities"][2]], abs=1e-6)
    assert four["probabilities"]["pass"] == pytest.approx(found["prediction"], abs=1e-6)
    assert (one["notes"], four["notes"]) == ([], ["the students studied 1 to 3 hours"])


@pytest.mark.parametrize(("module", "load"), [(credit, data.malignant_tumors), (otto, _products.sample)])
def test_rows_held_out_are_predicted_as_the_run_scored_them(module, load, runs):
    name = module.__name__.rpartition(".")[2]
    folder, found = runs(name)
    split_key = random.split(random.key(0), 3)[0]
    _, (rows, labels) = data.hold_out(split_key, load(), share={"credit": 0.1, "otto": 0.2}[name])
    predicted = predict(folder, *map(text_of, rows))
    names = module.CLASSES["sample"]
    right = [one["prediction"] == names[label] for one, label in zip(predicted, labels.tolist(), strict=True)]
    accuracy = found["test_accuracy" if name == "credit" else "val_accuracy"]
    assert sum(right) / len(right) == pytest.approx(accuracy, abs=1e-6)


def test_tumors_are_predicted_as_the_run_scored_them(runs):
    folder, found = runs("diabetes")
    rows, labels = data.benign_tumors()
    predicted = predict(folder, *map(text_of, rows))
    names = diabetes.LABELS["sample"]
    right = [one["prediction"] == names[int(label)] for one, label in zip(predicted, labels.flatten(), strict=True)]
    assert sum(right) / len(right) == pytest.approx(found["accuracy"], abs=1e-6)
    outside = predict(folder, "3,0,0,0,0,0,0,0")[0]
    assert outside["notes"] == ["a measurement is not between -1 and 1"]


def test_passengers_by_all_members(runs, tmp_path):
    folder, _ = runs("titanic")
    split_key, _, _, data_key = random.split(random.key(0), 4).unbind()
    passengers = data.synthetic_passengers(data_key)
    scalings, _, (inputs, _), _ = _passengers.members(split_key, passengers, 5)
    _, unknown = data.hold_out(random.split(split_key, 5)[2], passengers, share=0.2)
    torch.testing.assert_close(scalings[2](unknown.values), inputs[:, 2])
    woman, man, again = predict(folder, "1,female,30,0,0,80,C", "3,male,,0,0,8,S", "1,female,30,0,0,80,C")
    assert (woman["prediction"], man["prediction"]) == ("survived", "lost")
    assert woman == again
    assert woman["notes"][-1] == "learned from invented passengers"
    assert woman["notes"][0].startswith("the 5 members say ")
    path = tmp_path / "people.csv"
    path.write_text("Embarked,Fare,Parch,SibSp,Age,Sex,Pclass,Name\nC,80,0,0,30,female,1,Ann\nS,8,0,0,,male,3,Bob\n")
    from_file = predict(folder, path)
    assert [one["probabilities"] for one in from_file] == [woman["probabilities"], man["probabilities"]]
    assert [one["input"] for one in from_file] == [f"{path}, line 2", f"{path}, line 3"]
    far = predict(folder, "3,male,20,0,0,9000,S")[0]
    assert "'Fare' is far from all values trained on" in far["notes"]


@pytest.mark.parametrize(
    ("name", "given", "parts"),
    [
        ("titanic", "3,boy,20,0,0,8,S", ["'Sex' is 'boy'", "male, female"]),
        ("titanic", "4,male,20,0,0,8,S", ["'Pclass' is '4'", "1, 2, 3"]),
        ("blobs", "1", ["1 value", "2 values (x, y)"]),
        ("logistic", "long", ["'hours' is 'long'", "a number"]),
        ("credit", "1,2", ["2 values", "30 values (mean radius"]),
    ],
)
def test_what_is_no_row(name, given, parts, runs):
    code, out, err = call("predict", runs(name)[0], given)
    assert (code, out, len(err)) == (2, [], 1)
    assert all(part in err[0] for part in parts), err


def test_without_the_columns_or_with_others(runs, tmp_path):
    import shutil

    folder = shutil.copytree(runs("credit")[0], tmp_path / "run")
    (folder / "columns.json").write_text((runs("otto")[0] / "columns.json").read_text())
    assert "columns.json: is damaged" in call("predict", folder, "1,2")[2][0]
    (folder / "columns.json").unlink()
    (error,) = call("predict", folder, "1,2")[2]
    assert "columns.json: cannot be read" in error
    assert "resume the run, which writes it again" in error
    assert call("run", "credit", "--resume", "--out", folder)[0] == 0
    assert (folder / "columns.json").read_bytes() == (runs("credit")[0] / "columns.json").read_bytes()


def test_the_handbooks_sigmoid_is_never_sure(runs):
    one = predict(runs("credit")[0], text_of(data.malignant_tumors()[0][0]))[0]
    assert max(one["probabilities"].values()) < 0.7311
    assert one["notes"][-1] == "after the sigmoid no class can be more probable than 73 %"
