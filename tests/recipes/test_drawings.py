"""Drawings for notebooks."""

import pytest
import torch

from recipes import drawings


def test_each_view_names_the_boxes_that_it_reads():
    matrix = torch.tensor([[1.0, 4.0], [2.0, 1.0], [3.0, 5.0]])
    figure = drawings.storage({"column": matrix[:, 1], "twice": matrix[0].expand(2, 2)}, "a title")
    texts = [(text.get_text(), text.get_position()[0]) for text in figure.axes[0].texts]
    assert [place for text, place in texts if text in ("[0]", "[1]", "[2]")] == [1.5, 3.5, 5.5]
    assert [place for text, place in texts if text == "[0, 1]\n[1, 1]"] == [1.5]
    assert figure.axes[0].get_title() == "a title"


def test_tensors_of_several_storages_are_refused():
    with pytest.raises(ValueError, match="one, other do not share one storage"):
        drawings.storage({"one": torch.ones(2), "other": torch.ones(2)}, "")


def test_a_computation_shows_each_value_and_the_slope_of_the_result_by_it():
    arguments = {"w": torch.tensor(3.0), "x": torch.tensor(2.0), "b": torch.tensor(1.0)}
    figure = drawings.computation(lambda w, x, b: (w * x + b) ** 2, arguments, "a title")
    texts = [text.get_text() for text in figure.axes[0].texts if text.get_text()]
    shown = {texts[i]: texts[i + 1 : i + 3] for i in range(0, len(texts), 3)}
    assert shown == {
        "w": ["3", "slope 28"],
        "x": ["2", "slope 42"],
        "b": ["1", "slope 14"],
        "×": ["6", "slope 14"],
        "+": ["7", "slope 14"],
        "power 2": ["49", "slope 1"],
    }


def test_a_computation_takes_numbers_only():
    with pytest.raises(ValueError, match="numbers, got x of another kind"):
        drawings.computation(lambda w, x: w * x, {"w": torch.tensor(1.0), "x": torch.ones(2)}, "")
