import json

import pytest

from recipes import summary
from recipes.lesson import Lesson
from recipes.settings import Outcome, SettingsError
from tests.recipes.small import call


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    printed = call("run", "logistic", "--epochs", 3, "--out", folder / "a", "--json")[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "250")  # no cell is wrapped
        text = call("run", "logistic", "--epochs", 3, "--out", folder / "b")[1]
    return folder, json.loads(printed[0]), "\n".join(text)


def test_a_run_leaves_its_results_as_json_prints_them(runs):
    found = summary.read(runs[0] / "a")
    assert found.result == runs[1]
    assert found.settings["epochs"] == 3
    assert "out" not in found.settings
    assert found.lines
    assert set(found.pictures) == {path.name for path in (runs[0] / "a").glob("*.png")}


def test_a_run_leaves_a_page_with_its_tables_pictures_and_settings(runs):
    page = (runs[0] / "a" / "lesson.md").read_text()
    found = summary.read(runs[0] / "a")
    assert page.startswith("# logistic on sample, seed 0\n")
    assert all(f"]({name})" in page for name in found.pictures)
    assert "| --epochs | 3 |" in page
    assert all(line.result.replace("\n", "<br>") in page for line in found.lines)


def test_the_text_has_a_line_for_each_result(runs):
    shown = " ".join(runs[2].split())
    assert all(line.result.split("\n")[0] in shown for line in summary.read(runs[0] / "b").lines)
    lesson = Lesson()
    lesson.show("share", "share of the larger class", 0.75)
    lesson = summary.lesson_of(Outcome({"share": 0.75, "f1_score": 0.5}, lesson=lesson))
    assert [(line.expression, line.result) for line in lesson.lines] == [
        ("share of the larger class", "0.75"),
        ("f1 score", "0.5"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no finished run"),
        ("{", "is damaged or not a run's"),
        ("[]", "is not a run's"),
        ('{"result": 1}', "is not a run's"),
    ],
)
def test_a_result_that_is_none_is_one_sentence(tmp_path, content, message):
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    with pytest.raises(SettingsError, match=message):
        summary.read(tmp_path)


def test_cells_of_the_page_cannot_end_their_table():
    rows = [{"epoch": 1, "a|b": 2e-7}]
    result = {"recipe": "r", "dataset": "s", "seed": 0, "device": "cpu", "compiled": False, "epochs": 1, "seconds": 0}
    page = summary.page(summary.Summary(result, {"lr": None}, rows))
    assert "| epoch | a\\|b |\n| --- | --- |\n| 1 | 2.0000e-07 |" in page
    assert "| --lr | by default |" in page
