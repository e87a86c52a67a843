import gzip
import json
import shutil
from functools import cache

import pytest
import torch
from PIL import Image

from funcdl import train
from funcdl.data import DataError
from recipes.basics import _texts, real_data
from tests.recipes import small
from tests.recipes.small import call

ALL = ("images", "wine", "bikes", "text")


def run(**settings):
    return real_data.run(real_data.Settings(**settings), train.Report())


@cache
def tutorial():
    """The metrics of the tutorial's own files."""
    for folder in ALL:
        data_dir = small.real_data(folder)
    return run(dataset="tutorial", data_dir=data_dir).metrics


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A folder of one's own with the tutorial's files, and no network."""
    for folder in ALL:
        source = small.real_data(folder)
        shutil.copytree(source / folder, tmp_path / "data" / folder)
    for path in (tmp_path / "data").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    monkeypatch.setattr("recipes.basics._sources.REPOSITORY", (tmp_path / "nowhere").as_uri())
    return tmp_path / "data"


def test_the_tutorial_s_images():
    metrics = tutorial()
    assert metrics["image_pixels"] == [720, 1280, 3]
    assert metrics["image"] == [3, 720, 1280]
    assert metrics["batch"] == [3, 3, 256, 256]
    assert metrics["standard_means"] == pytest.approx([0, 0, 0], abs=1e-5)
    assert metrics["standard_deviations"] == pytest.approx([1, 1, 1], abs=1e-5)


def test_the_tutorial_s_wines():
    metrics = tutorial()
    assert metrics["wine"] == [4898, 12]
    assert metrics["wine_one_hot"] == [4898, 10]
    assert metrics["wine_bad"] == 20
    assert [f"{mean:.2f}" for mean in metrics["mean_total_sulfur_dioxide"]] == ["170.60", "141.83", "125.25"]
    assert [f"{mean:.2f}" for mean in metrics["mean_alcohol"]] == ["10.34", "10.26", "11.42"]
    assert (metrics["predicted"], metrics["actual"], metrics["matches"]) == (2727, 3258, 2018)
    assert metrics["precision"] == pytest.approx(2018 / 2727)
    assert metrics["recall"] == pytest.approx(2018 / 3258)
    mean, deviation = metrics["wine_standard"]
    assert (mean, deviation) == (pytest.approx(0, abs=1e-5), pytest.approx(1, abs=1e-5))


def test_the_tutorial_s_bicycles():
    metrics = tutorial()
    assert metrics["hours"] == [[17520, 17], [17, 1]]
    assert metrics["by_day"] == [408, 17, 1]
    assert metrics["days"] == [730, 17, 24]
    assert metrics["days_stride"] == [408, 1, 17]
    assert metrics["weather"] == [730, 4, 24]
    assert metrics["joined"] == [730, 21, 24]
    assert metrics["temperature_scaled"] == [0, 1]
    assert metrics["temperature_standard"] == pytest.approx([0, 1], abs=1e-5)


def test_the_tutorial_s_text():
    metrics = tutorial()
    assert metrics["letters"] == [70, 128]
    assert (metrics["words"], metrics["words_unmarked"]) == (7261, 7260)
    assert metrics["impossible"] == 3394
    assert metrics["numbers"] == [3394, 4305, 813, 3394, 7078, 3315, 415, 4436, 239, 7148, 3215]
    assert metrics["one_hot_words"] == [11, 7261]


def test_the_lecture_s_names():
    metrics = run().metrics
    assert metrics["name_lengths"] == [7, 8, 10, 5, 6, 7, 7, 7, 6]
    assert metrics["name_lengths_sorted"] == [10, 8, 7, 7, 7, 7, 6, 6, 5]
    padded = ["".join(map(chr, row)) for row in metrics["names"]]
    assert padded[0] == "Maclean\0\0\0"
    assert metrics["names"][2] == [78, 97, 115, 105, 107, 111, 118, 115, 107, 121]
    assert [row.strip("\0") for row in padded] == list(_texts.NAMES)
    order = [len("".join(map(chr, row)).strip("\0")) for row in metrics["names_sorted"]]
    assert order == metrics["name_lengths_sorted"]
    assert metrics["packed"] == [9, 9, 9, 9, 9, 8, 6, 2, 1, 1]
    assert metrics["packed_letters"] == sum(metrics["packed"]) == 63


def test_the_sample_is_the_same_lesson_and_says_what_it_is():
    outcome = run()
    metrics = outcome.metrics
    assert metrics["image"] == [3, 427, 640]
    assert metrics["wine"] == [178, 14]
    assert metrics["wine_bad"] == 59
    assert metrics["hours"] == [[672, 6], [6, 1]]
    assert (metrics["days"], metrics["days_stride"]) == ([28, 6, 24], [144, 1, 6])
    assert metrics["letters"][1] == 128
    assert metrics["one_hot_words"] == [len(metrics["numbers"]), metrics["words"]]
    assert 0.5 < metrics["precision"] <= 1
    assert any("scikit-learn" in remark and "formula" in remark for remark in outcome.lesson.remarks)
    tutorial = {line.tutorial: line.expression for line in outcome.lesson.lines}
    assert sorted(figure for figure in tutorial if figure) == ["10 8 7 7 7 7 6 6 5", "7 8 10 5 6 7 7 7 6"]
    assert all("lengths" in expression for figure, expression in tutorial.items() if figure)
    assert (torch.tensor(metrics["standard_means"]).abs() < 1e-5).all()


def test_the_command_line_writes_pictures_and_one_line_of_json(tmp_path):
    code, out, err = call("run", "real-data", "--out", tmp_path / "run", "--json")
    assert code == 0, err
    assert len(out) == 1
    assert json.loads(out[0])["metrics"]["wine"] == [178, 14]
    for picture in ("channels", "day", "letters"):
        assert (tmp_path / "run" / f"{picture}.png").stat().st_size > 10_000


def wines(path, change):
    file = path / "wine" / "winequality-white.csv"
    file.write_text(change(file.read_text()))


def hours(path, change):
    file = path / "bikes" / "hour-fixed.csv.gz"
    file.write_bytes(gzip.compress(change(gzip.decompress(file.read_bytes()).decode()).encode()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda p: wines(p, lambda t: t.replace(";6\n", "\n", 1)),
            r"white.csv, line 2, column 12: the row has 11 columns",
        ),
        (
            lambda p: wines(p, lambda t: t.replace("0.34", "much", 1)),
            r"white.csv, line 3, column 3 'citric acid': 'much'",
        ),
        (
            lambda p: wines(p, lambda t: t.replace(";6\n", ";12\n", 1)),
            r"line 2, column 12 'quality': '12' is not one of",
        ),
        (lambda p: wines(p, lambda t: t.replace('"alcohol"', '"spirit"')), r"line 1: there is no column 'alcohol'"),
        (lambda p: wines(p, lambda t: ""), r"white.csv, line 1, column 1: the file is empty"),
        (lambda p: wines(p, lambda t: t.split("\n")[0]), r"white.csv, line 2, column 1: no rows follow"),
        (lambda p: hours(p, lambda t: t.replace("2011-01-01", "today", 1)), r"line 2, column 2 'dteday': 'today'"),
        (lambda p: hours(p, lambda t: t[: t.rindex("\n", 0, -1) + 1]), r"has 17519 hours, expected full days of 24"),
        (lambda p: hours(p, lambda t: ""), r"hour-fixed.csv.gz, line 1, column 1: the file is empty"),
        (
            lambda p: (p / "text" / "1342-0.txt.gz").write_bytes(gzip.compress(b"short")),
            r"line 201: expected 'Impossible",
        ),
        (lambda p: (p / "text" / "1342-0.txt.gz").write_bytes(b"short"), r"is not a gzip file"),
        (lambda p: (p / "images" / "bobby.jpg").write_bytes(b"no image"), r"bobby.jpg is not an image"),
        (lambda p: Image.new("RGB", (9, 9)).save(p / "images" / "cat2.png"), r"cat2.png: has the shape \(3, 9, 9\)"),
        (lambda p: Image.new("L", (9, 9)).save(p / "images" / "bobby.jpg"), r"bobby.jpg: has the shape \(1, 9, 9\)"),
        (
            lambda p: (p / "images" / "cat3.png").unlink(),
            r"could not download cat3.png: .* put it at \S*images/cat3.png",
        ),
    ],
)
def test_files_that_are_missing_or_malformed_are_named_with_the_place(change, message, copied):
    change(copied)
    with pytest.raises(DataError, match=message) as raised:
        run(dataset="tutorial", data_dir=copied)
    assert "\n" not in str(raised.value)
    assert str(copied) in str(raised.value)


def test_cats_with_an_alpha_channel_lose_it(copied):
    path = copied / "images" / "cat1.png"
    picture = Image.open(path).convert("RGB")
    picture.putalpha(128)
    picture.save(path)
    assert run(dataset="tutorial", data_dir=copied).metrics["channel_means"] == tutorial()["channel_means"]


def test_bad_data_on_the_command_line_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("recipes.basics._sources.REPOSITORY", (tmp_path / "nowhere").as_uri())
    flags = ("--dataset", "tutorial", "--data-dir", tmp_path / "data", "--out", tmp_path / "run")
    code, out, err = call("run", "real-data", *flags)
    assert (code, out, len(err)) == (2, [], 1)
    assert "could not download bobby.jpg" in err[0]
