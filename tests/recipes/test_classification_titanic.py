"""Survival on the Titanic: several seeds as one model, no leak of what is held out, the figures on the real table."""

import pytest
import torch
from PIL import Image

from funcdl import data, random, train
from recipes.classification import _passengers, titanic
from tests.recipes.small import call, real_data


def run(report=None, **flags):
    return titanic.run(titanic.Settings(device="cpu", **flags), report or train.Report()).metrics


def test_it_beats_both_rules_on_the_sample_and_draws(tmp_path):
    report = train.Report(tmp_path)
    found = run(report)
    report.close()
    assert found["parameters"] == 273
    assert len(found["members"]) == 5
    assert len(set(found["members"])) > 1
    assert found["val_accuracy"] == pytest.approx(sum(found["members"]) / 5, abs=1e-6)
    assert found["val_accuracy"] > found["by_sex"] > found["majority"]
    assert sum(map(sum, found["confusion"])) == 5 * 178
    for name in ("curves", "confusion"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width > 400


def test_the_number_of_seeds_is_a_setting(tmp_path):
    assert len(run(seeds=1, epochs=1)["members"]) == 1
    code, _, err = call("run", "titanic", "--seeds", 0, "--out", tmp_path / "run")
    assert (code, err) == (2, ["funcdl: --seeds 0: must be 1 or more"])


def test_what_is_held_out_leaves_no_trace_in_the_training_part():
    passengers = data.synthetic_passengers(random.key(0))
    key = random.key(1)
    _, (inputs, _), (held_out, _), _ = _passengers.split(key, passengers)
    assert not inputs.isnan().any()
    assert not held_out.isnan().any()
    torch.testing.assert_close(inputs.mean(0), torch.zeros(7), atol=1e-5, rtol=0)
    torch.testing.assert_close(inputs.std(0, correction=0), torch.ones(7), atol=1e-5, rtol=0)
    rows = torch.arange(891)
    _, unknown = data.hold_out(key, rows, 0.2)
    other = passengers.values.clone()
    other[unknown] = 1e3
    _, (same, _), (changed, _), _ = _passengers.split(key, data.Passengers(other, passengers.survived))
    assert torch.equal(inputs, same)
    assert not torch.equal(held_out, changed)


def test_gaps_get_the_median_age_and_the_most_frequent_port():
    nan = torch.nan
    known = torch.tensor([[1, 0, 20, 0, 0, 10, 2], [2, 1, 30, 1, 0, 20, 2], [3, 0, 70, 0, 1, 30, 0.0]])
    gaps = torch.tensor([[1, 0, nan, 0, 0, 10, nan]])
    filled = torch.tensor([[1, 0, 30, 0, 0, 10, 2.0]])
    scaling = _passengers.scaling_of(known)
    torch.testing.assert_close(scaling(gaps), scaling(filled))


HEADER = "PassengerId,Survived,Pclass,Name,Sex,Age,SibSp,Parch,Ticket,Fare,Cabin,Embarked\r\n"
ROW = '{id},{survived},3,"Doe, Mr. J",{sex},{age},0,0,A 1,7.25,,{port}\r\n'


def written(folder, **cells):
    rows = [{"id": i, "survived": i % 2, "sex": "male", "age": "", "port": "S"} for i in range(1, 11)]
    rows[6] |= cells
    (folder / "titanic").mkdir()
    (folder / "titanic" / "train.csv").write_text(HEADER + "".join(ROW.format(**row) for row in rows), newline="")
    return folder


@pytest.mark.parametrize(
    ("cells", "parts"),
    [
        ({"sex": "captain"}, ["line 8", "column", "'Sex'", "'captain'", "male, female"]),
        ({"port": "X"}, ["line 8", "'Embarked'", "'X'", "S, C, Q"]),
        ({"survived": "2"}, ["line 8", "'Survived'", "'2'"]),
        ({"survived": ""}, ["'Survived'", "empty", "passenger 7"]),
        ({"age": "old"}, ["line 8", "'Age'", "'old'"]),
        ({"age": "3,4"}, ["line 8", "13 columns"]),
    ],
)
def test_a_damaged_table(tmp_path, cells, parts):
    folder = written(tmp_path, **cells)
    code, out, err = call("run", "titanic", "--dataset", "titanic", "--data-dir", folder, "--out", tmp_path / "run")
    assert (code, out, len(err)) == (2, [], 1), err
    assert all(part in err[0] for part in ["train.csv", *parts]), err


def test_no_table_at_all(tmp_path):
    code, _, err = call("run", "titanic", "--dataset", "titanic", "--data-dir", tmp_path, "--out", tmp_path / "run")
    assert code == 2
    assert str(tmp_path / "titanic" / "train.csv") in err[0]
    assert "https://www.kaggle.com/competitions/titanic/data" in err[0]


@pytest.mark.full
def test_the_real_passengers():
    found = run(dataset="titanic", data_dir=real_data("titanic"))
    assert found["val_accuracy"] >= 0.80
    assert len(found["members"]) == 5
    assert found["val_accuracy"] > found["by_sex"]
    assert found["by_sex"] == pytest.approx(0.787, abs=0.03)
    passengers = data.titanic(real_data("titanic"))
    women = passengers.values[:, 1:2] == passengers.survived
    assert round(women.float().mean().item(), 4) == 0.7868
    assert [int(n) for n in passengers.values.isnan().sum(0)] == [0, 0, 177, 0, 0, 0, 2]
