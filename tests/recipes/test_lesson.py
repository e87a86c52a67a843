"""The table of a lesson: the source that it shows is what was run."""

import numpy as np
import pytest
import torch

from recipes.lesson import Lesson


def expressions(lesson):
    return [line.expression for line in lesson.lines]


def test_the_source_of_an_expression_is_shown_with_the_name_it_is_assigned_to():
    lesson = Lesson()
    lesson.show_code("sum", torch.ones(2) + 1, "2 2")
    total = lesson.show_code("total", torch.ones(3).sum())
    lesson.show_code("both", (total, [total, 2 * total]))
    assert expressions(lesson) == ["torch.ones(2) + 1", "total = torch.ones(3).sum()", "total, [total, 2 * total]"]
    assert lesson.metrics == {"sum": [2.0, 2.0], "total": 3.0, "both": [3.0, [3.0, 6.0]]}
    assert [line.result for line in lesson.lines] == ["2 2", "3", "3 3 6"]


def test_statements_above_are_shown_where_they_are_asked_for():
    lesson = Lesson()
    x = torch.zeros(2)
    x.add_(1)
    lesson.show_code("x", x, preceding=2)
    assert expressions(lesson) == ["x = torch.zeros(2); x.add_(1); x"]


def test_a_with_statement_is_shown_and_long_expressions_are_on_one_line():
    lesson = Lesson()
    w = torch.ones(1, requires_grad=True)
    with torch.no_grad():
        lesson.show_code("recorded", (w * 2).requires_grad)
    lesson.show_code(
        "stacked",
        torch.stack(
            [
                torch.ones(2),
                torch.zeros(2),
            ]
        ),
    )
    assert expressions(lesson) == [
        "with torch.no_grad(): (w * 2).requires_grad",
        "torch.stack([torch.ones(2), torch.zeros(2)])",
    ]


def test_each_call_in_a_loop_and_in_branches_is_found():
    lesson = Lesson()
    for number in (1, 2):
        if number == 1:
            lesson.show_code("one", number)
        else:
            lesson.show_code("other", -number)
    assert expressions(lesson) == ["number", "-number"]


def test_without_source_or_with_two_calls_on_a_line_the_error_names_the_place():
    lesson = Lesson()
    with pytest.raises(ValueError, match=r"<string>, line 1: .*one call of show_code\(\) to quote, found no source"):
        exec('lesson.show_code("x", 1)', {"lesson": lesson})
    with pytest.raises(ValueError, match=r"test_lesson.py, line \d+: .* found 2 calls of show_code\(\)"):
        lesson.show_code("a", 1), lesson.show_code("b", 2)
    assert lesson.lines == []


def test_a_name_is_shown_once_and_arrays_are_lists():
    lesson = Lesson()
    lesson.show("array", "an array", [np.ones(2), np.float64(0.5)])
    assert lesson.metrics["array"] == [[1.0, 1.0], 0.5]
    with pytest.raises(ValueError, match="'array' is shown twice"):
        lesson.show("array", "again", 1)
