import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from recipes import compare_picture, summary
from recipes.lesson import Lesson
from tests.recipes.small import call


def write(folder, lr, loss, name="digits-cnn", rows=2, **more):
    """Writes the summary of a run that ended with a loss."""
    folder.mkdir(parents=True)
    (folder / "curves.png").write_bytes(b"")
    result = {"recipe": name, "dataset": "sample", "seed": 0, "device": "cpu", "compiled": False, "epochs": rows}
    result |= {"seconds": 1.5, "metrics": {"loss": loss, **more}, "run_dir": str(folder)}
    lesson = Lesson()
    lesson.show("loss", "loss at the end", loss, "0.5")
    lesson.remark("A remark.")
    history = [{"epoch": epoch, "loss": loss + rows - epoch} for epoch in range(1, rows + 1)]
    return summary.write(folder, result, {"lr": lr, "epochs": None, "only": ""}, history, lesson)


@pytest.fixture
def runs(tmp_path):
    write(tmp_path / "slow", 0.01, 0.75, shares=[0.125, 0.5], long=list(range(100)), small={"cost": 3})
    write(tmp_path / "fast", 0.05, 0.25, shares=[0.25, 0.5], long=list(range(100)), small={"cost": 4})
    return tmp_path


def test_show_prints_what_the_run_printed_with_settings_and_pictures(tmp_path):
    _, printed, _ = call("run", "logistic", "--epochs", 3, "--out", tmp_path / "run")
    code, out, err = call("show", tmp_path / "run")
    assert (code, err) == (0, [])
    assert out[: len(printed) - 1] == printed[:-1]
    assert any(line.split() == ["--epochs", "3"] for line in out)
    pictures = [line.strip() for line in out if line.endswith(".png")]
    assert pictures
    assert all(Path(line).is_file() for line in pictures)
    assert out[-1].endswith("lesson.md")
    code, out, _ = call("show", tmp_path / "run", "--json")
    assert code == 0
    assert json.loads(out[0]) == summary.read(tmp_path / "run").result


def test_settings_without_a_value_say_so(runs):
    settings = [line.split() for line in call("show", runs / "slow")[1] if line.startswith("  --")]
    assert settings == [["--lr", "0.01"], ["--epochs", "by", "default"], ["--only", "none"]]


def test_compare_has_a_row_for_each_difference_and_each_result(runs):
    code, out, err = call("compare", runs / "slow", runs / "fast", "--picture", runs / "new" / "both.png")
    assert (code, err) == (0, [])
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in out if line.startswith("│")]
    assert rows == [
        ["seconds", "1.5", "1.5"],
        ["--lr", "0.01", "0.05"],
        ["loss", "0.75", "0.25"],
        ["shares", "0.125 0.5", "0.25 0.5"],
        ["small cost", "3", "4"],
    ]
    assert "Too long for the table, see funcdl show: long" in out
    assert (runs / "new" / "both.png").read_bytes().startswith(b"\x89PNG")
    assert out[-1].endswith("both.png")


def test_compare_as_json_has_both_runs_and_names_a_new_picture(runs, monkeypatch):
    monkeypatch.chdir(runs)
    code, out, _ = call("compare", "slow", "fast", "--json")
    assert code == 0
    assert len(out) == 1
    found = json.loads(out[0])
    assert [run["metrics"]["loss"] for run in found["runs"].values()] == [0.75, 0.25]
    assert [run["settings"]["lr"] for run in found["runs"].values()] == [0.01, 0.05]
    assert Path(found["picture"]).is_file()


def test_runs_of_one_name_are_told_apart_by_their_paths(runs):
    write(runs / "b" / "slow", 0.1, 0.5)
    _, out, _ = call("compare", runs / "slow", runs / "b" / "slow", "--json", "--picture", runs / "p.png")
    assert list(json.loads(out[0])["runs"]) == [str(runs / "slow"), str(runs / "b" / "slow")]


def test_what_cannot_be_compared_is_one_sentence(runs):
    (runs / "empty").mkdir()
    write(runs / "other", 0.1, 0.0, name="tensors")
    found = json.loads((runs / "other" / "result.json").read_text())
    found["result"]["metrics"] = {"dot": 1}
    (runs / "other" / "result.json").write_text(json.dumps(found))
    (runs / "file").write_text("")
    for arguments, words in [
        (("slow",), "one run only"),
        (("slow", "slow"), "named twice"),
        (("slow", "b/../slow"), "named twice"),
        (("slow", "empty"), "holds no finished run"),
        (("slow", "other"), "no result in common"),
        (("slow", "fast", "--picture", runs / "file" / "x.png"), "file"),
    ]:
        code, out, err = call("compare", *(runs / word if word != "--picture" else word for word in arguments))
        assert code == 2, out
        assert len(err) == 1
        assert words in err[0]
    code, _, err = call("show", runs / "empty")
    assert code == 2
    assert "holds no finished run" in err[0]


def texts_of(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_the_picture_has_curves_where_there_are_rows_and_else_the_numbers():
    rows = {run: [{"epoch": epoch, "loss": epoch * lr, "seconds": 1.0} for epoch in (1, 2)] for run, lr in RUNS.items()}
    figure = compare_picture.draw(rows, {}, {"--lr": list(RUNS.values())})
    assert isinstance(figure, Figure)
    assert [[list(line.get_ydata()) for line in axes.lines] for axes in figure.axes] == [[[0.1, 0.2], [0.3, 0.6]]]
    assert {"a, --lr 0.1", "b, --lr 0.3", "2 runs by epoch, which differ in --lr"} <= set(texts_of(figure))
    figure = compare_picture.draw({"a": [], "b": []}, {"w": [1.0, 2.0], "same": [1, 1], "word": ["x", "y"]}, {})
    assert isinstance(figure, Figure)
    assert [list(axes.lines[0].get_xdata()) for axes in figure.axes] == [[1.0, 2.0]]
    assert "2 runs" in texts_of(figure)
    assert compare_picture.draw({"a": [], "b": []}, {"word": ["x", "y"]}, {}) is None


RUNS = {"a": 0.1, "b": 0.3}
