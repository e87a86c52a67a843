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
        "·": ["6", "slope 14"],
        "+": ["7", "slope 14"],
        "power 2": ["49", "slope 1"],
    }


def test_a_computation_takes_numbers_only():
    with pytest.raises(ValueError, match="numbers, got x of another kind"):
        drawings.computation(lambda w, x: w * x, {"w": torch.tensor(1.0), "x": torch.ones(2)}, "")


def test_a_sheet_has_one_scale_for_all_its_pictures():
    figure = drawings.sheet(torch.tensor([[[0.0, 1.0]], [[2.0, 8.0]], [[3.0, 4.0]]]), "a title", "abc", columns=2)
    images = [axes.images[0] for axes in figure.axes if axes.images]
    assert [image.get_clim() for image in images] == [(0, 8)] * 3
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "c", ""]


def test_zero_is_white_in_a_signed_sheet():
    figure = drawings.sheet(torch.tensor([[[-1.0, 4.0]]]), "a title", signed=True)
    image = figure.axes[0].images[0]
    assert min(image.to_rgba(0.0)[:3]) > 0.96
    assert [axes.get_ylabel() for axes in figure.axes] == ["", "value"]


def test_activations_are_drawn_with_their_slopes():
    figure = drawings.activations({"square": torch.square, "sine": torch.sin}, "a title", columns=3)
    square, slope = (line.get_ydata() for line in figure.axes[0].lines)
    assert (square[0], slope[0], slope[-1]) == (16, -8, 8)
    assert [axes.get_title() for axes in figure.axes if axes.get_visible()] == ["square", "sine"]


def test_windows_show_what_is_summed_and_the_results_so_far():
    image, kernel = torch.arange(9.0).reshape(3, 3), torch.ones(2, 2)
    result = torch.tensor([[8.0, 12.0], [20.0, 24.0]])
    figure = drawings.windows(image, result, [(0, 0), (1, 0)], "a title", size=2, kernel=kernel)
    weights, first, second, unused, below_first, below_second = figure.axes
    assert not unused.get_visible()
    assert [text.get_text() for text in weights.texts] == ["1"] * 4
    white = [[patch.get_facecolor() == (1, 1, 1, 1) for patch in axes.patches] for axes in (first, second)]
    assert [[i for i, box in enumerate(boxes) if not box] for boxes in white] == [[0, 1, 3, 4], [3, 4, 6, 7]]
    assert [text.get_text() for text in below_first.texts] == ["8"]
    assert [text.get_text() for text in below_second.texts] == ["8", "12", "20"]


def test_windows_show_padding_as_zeros_around_the_image():
    figure = drawings.windows(torch.ones(2, 2), torch.ones(4, 4), [(0, 0)], "", size=1, padding=1)
    assert [text.get_text() for text in figure.axes[0].texts][:6] == ["0", "0", "0", "0", "0", "1"]


def test_an_arrow_over_a_box_goes_in_a_curve_of_another_color():
    boxes = {"x": (0, 0), "f(x)": (1, 0), "+": (2, 0)}
    figure = drawings.flow(boxes, [("x", "f(x)"), ("x", "+")], "a title")
    texts = figure.axes[0].texts
    assert [text.get_text() for text in texts if text.get_text()] == ["x", "f(x)", "+"]
    straight, curved = (text.arrow_patch for text in texts if not text.get_text())
    assert (straight.get_connectionstyle().rad, curved.get_connectionstyle().rad) == (0, -0.3)
    assert straight.get_edgecolor() != curved.get_edgecolor()


def test_an_arrow_needs_boxes_at_both_ends():
    with pytest.raises(KeyError, match="y"):
        drawings.flow({"x": (0, 0)}, [("x", "y")], "")
