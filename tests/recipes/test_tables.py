import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes import summary, tables
from recipes.lesson import Line

CODE = "torch.ones(2).char().numpy(), [float(points[0, 1]) for points in self.many_points_of_the_first_kind], 0.25"
MATRIX = "0.634013 0.642264 0.209486\n0.0326512 0.58411 0.662139"


def printed(capsys, monkeypatch, columns, lines=(), rows=(), remarks=()):
    monkeypatch.setenv("COLUMNS", str(columns))
    result = {"recipe": "r", "dataset": "sample", "seed": 0, "device": "cpu", "compiled": False, "seconds": 1.5}
    tables.print_summary(summary.Summary(result, {}, list(rows), list(lines), list(remarks)))
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= columns
    assert "…" not in out
    return out


def columns_of(out, count):
    """The text of each column, without the spaces, which is where it may be broken."""
    cells = [re.split("[│┃]", line)[1:-1] for line in out.splitlines() if line[:1] in ("│", "┃")]
    return ["".join(row[column] for row in cells if len(row) == count).replace(" ", "") for column in range(count)]


@pytest.mark.parametrize("columns", [40, 60, 80, 120, 400])
def test_no_cell_is_cut_at_any_width(capsys, monkeypatch, columns):
    lines = [Line(CODE, MATRIX, "the tutorial says 0.6"), Line("x" * 100, "y" * 100, "z" * 100)]
    out = printed(capsys, monkeypatch, columns, lines, remarks=["many words " * 30])
    expressions, results, tutorial = columns_of(out, 3)
    assert CODE.replace(" ", "") in expressions
    assert MATRIX.replace(" ", "").replace("\n", "") in results
    assert "thetutorialsays0.6" in tutorial
    assert all(letter * 100 in text for letter, text in zip("xyz", (expressions, results, tutorial), strict=True))
    assert out.count("many words") + out.count("many\n  words") == 30


def test_code_is_broken_between_words_and_numbers_stay_in_one_piece():
    for width in range(16, 60):
        lines = tables.wrapped(CODE, width).split("\n")
        assert max(map(len, lines)) <= width
        assert all(line.startswith("  ") for line in lines[1:])
        assert any("0.25" in line for line in lines)
        assert not any(line.endswith(("torc", "cha", "num", "flo", "poi")) for line in lines)
    assert tables.wrapped(MATRIX, 28) == MATRIX
    assert tables.wrapped("", 20) == ""
    assert tables.wrapped("a\x1b[2J", 20) == "a\\x1b[2J"


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Zs"])), st.integers(4, 40))
def test_wrapped_text_keeps_every_character(text, width):
    lines = tables.wrapped(text, width).split("\n")
    assert max(map(len, lines)) <= width
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_table_with_many_columns_becomes_several_that_begin_with_the_epoch(capsys, monkeypatch):
    names = [f"measure_{number}" for number in range(12)]
    rows = [{"epoch": epoch, **dict.fromkeys(names, epoch + 0.5)} for epoch in (1, 2)]
    out = printed(capsys, monkeypatch, 60, rows=rows)
    assert out.count("epoch") > 1
    assert out.count("1.5000") == out.count("2.5000") == len(names)
    assert out.count("measure_") == len(names)
    wide = printed(capsys, monkeypatch, 200, rows=rows)
    assert all(name in wide for name in names)
    assert wide.count("epoch") == 1
