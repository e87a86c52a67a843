import pytest

from funcdl.data import DataError
from recipes import inputs
from recipes.settings import SettingsError


def test_values_on_the_command_line_are_a_row_each():
    names, numbers = inputs.rows(["0.5,-0.2", "1e2, 3"], ["w", "h"])
    assert names == ["0.5,-0.2", "1e2, 3"]
    assert numbers.tolist() == [[0.5, pytest.approx(-0.2)], [100, 3]]


def test_a_file_has_a_row_each_in_any_order_of_columns_and_among_others(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("note,h,w\nfirst,2,1\n\nsecond,4,3\n")
    names, numbers = inputs.rows(["7,8", str(path)], ["w", "h"])
    assert names == ["7,8", f"{path}, line 2", f"{path}, line 4"]
    assert numbers.tolist() == [[7, 8], [1, 2], [3, 4]]


def test_words_and_empty_cells():
    kinds = {"sex": {"male": 0.0, "female": 1.0}}
    _, numbers = inputs.rows(["female,", "male,40"], ["sex", "age"], words=kinds, missing=-1)
    assert numbers.tolist() == [[1, -1], [0, 40]]
    with pytest.raises(SettingsError, match="'sex' is 'woman'; it must be one of male, female"):
        inputs.rows(["woman,3"], ["sex", "age"], words=kinds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3", r"'1,2,3': has 3 values and names no file; give 2 values \(w, h\)"),
        ("nowhere", "'nowhere': has 1 value and names no file"),
        ("", "has 1 value"),
        ("a\0b", "names no file"),
        ("1,", "'h' is ''; it must be a number"),
        ("nan,1", "'w' is 'nan'"),
        ("1,inf", "'h' is 'inf'"),
        ("1e39,1", "'w' is '1e39'"),
    ],
)
def test_a_bad_row_is_one_sentence(text, message):
    with pytest.raises(SettingsError, match=message):
        inputs.rows([text], ["w", "h"])


def test_a_bad_file_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        inputs.rows([str(tmp_path / "nowhere.csv")], ["w", "h"])
    (tmp_path / "half.csv").write_text("w\n1\n")
    with pytest.raises(DataError, match="no column 'h'"):
        inputs.rows([str(tmp_path / "half.csv")], ["w", "h"])
    (tmp_path / "words.csv").write_text("w,h\n1,2\n3,tall\n")
    with pytest.raises(SettingsError, match=r"words\.csv, line 3: 'h' is 'tall'"):
        inputs.rows([str(tmp_path / "words.csv")], ["w", "h"])
