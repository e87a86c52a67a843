"""The pictures that recipes share; and that the look at every picture in `conftest.py` finds what is wrong with one."""

import pytest
import torch
from matplotlib.figure import Figure

from recipes import pictures
from recipes.axes import legend_below, logarithmic, whole_numbers
from recipes.vision import _digits
from tests.recipes import figures

TITLE = "A line that goes up"


def drawn(figsize=(5, 4), title=TITLE):
    figure = Figure(figsize=figsize, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    axes.plot([0, 1], [0, 1], label="line")
    return figure, axes


def test_a_picture_without_faults_has_none():
    figure, axes = drawn()
    logarithmic(axes)
    whole_numbers(axes, "epoch", 1)
    legend_below(figure)
    assert figures.faults(figure) == []


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda axes: axes.set_title("loss"), "the title 'loss' does not say what to see"),
        (lambda axes: axes.set_title(TITLE * 9), "is cut off"),
        (lambda axes: axes.set_xticks([0, 0.001], ["a name", "another"]), "'a name' and 'another' overlap"),
        (lambda axes: axes.text(0.9, 0.5, "written at the edge"), "'written at the edge' is written over the frame"),
        (lambda axes: axes.legend(loc="upper right"), "the legend covers the line 'line'"),
        (lambda axes: axes.set_xlabel("epoch"), "'epoch' has the ticks"),
        (lambda axes: axes.set(yscale="log", ylim=(1, 5)), "are no plain numbers"),
        (lambda axes: (axes.scatter([0.95], [0.05]), axes.legend(loc="lower right")), "the legend covers the points"),
        (
            lambda axes: (axes.fill_between([0.5, 1], 0, 0.3), axes.legend(loc="lower right")),
            "the legend covers the band",
        ),
        (lambda axes: (axes.bar([0.9], [0.3]), axes.legend(loc="lower right")), "the legend covers a bar"),
    ],
)
def test_each_fault_of_a_picture_is_found(spoil, fault):
    figure, axes = drawn()
    spoil(axes)
    assert any(fault in found for found in figures.faults(figure)), figures.faults(figure)


@pytest.mark.parametrize("names", [["no", "yes"], ["survived the wreck", "lost"], list("0123456789")])
@pytest.mark.parametrize(
    "title", [TITLE, "titanic on sample: passengers held out of 5 splits, true and predicted class, as often as each"]
)
def test_a_confusion_matrix_has_room_for_its_names(names, title):
    assert figures.faults(pictures.confusion(torch.eye(len(names)) * 1000, names, title)) == []


def test_a_confusion_matrix_has_room_for_many_long_names():
    names = [f"a country {index} of a long name" for index in range(18)]
    assert (
        figures.faults(pictures.confusion(torch.eye(18) * 100, names, "18 countries: true and predicted class")) == []
    )


@pytest.mark.parametrize("losses", [[0.5], [2.0, 3.0, 4.0], [4e-9, 1e-9], [1e30, 2.0], [float("inf"), 1.0, 2.0]])
def test_losses_of_any_size_are_legible(losses):
    assert figures.faults(pictures.loss_curves({"training": losses, "test": losses}, "A run")) == []


def test_a_loss_that_jumps_is_a_mean_and_a_band_that_is_explained():
    losses = [1.0, 3.0] * 1000
    figure = pictures.loss_curves({"training": losses}, "A run")
    (axes,) = figure.axes
    assert all(1.5 < value < 2.5 for value in axes.lines[0].get_ydata())
    assert len(axes.lines[0].get_ydata()) <= pictures.POINTS
    vertices = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (vertices.min(), vertices.max()) == (1.0, 3.0)
    assert "least to greatest of 5 epochs" in [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("count", [1, 2, 3, 100])
@pytest.mark.parametrize("names", [("loss",), ("loss", "accuracy"), ("loss", "val_loss", "accuracy", "val_accuracy")])
def test_curves_of_any_number_of_epochs_are_legible(count, names):
    rows = [{"epoch": epoch + 1, **dict.fromkeys(names, 1 / (epoch + 2))} for epoch in range(count)]
    assert figures.faults(pictures.curves(rows, "A run on sample", "val", best=1)) == []


@pytest.mark.parametrize("accuracies", [(1.0, 1.0), (0.1, 0.9), (0.985, 0.991)])
def test_a_comparison_has_its_numbers_within_its_frames(accuracies):
    networks = {
        name: {"test_accuracy": accuracy, "parameters": size, "multiply_adds": 1000 * size, "seconds": 0.0}
        for name, accuracy, size in zip(("small", "a large one"), accuracies, (10, 12_345_678), strict=True)
    }
    assert figures.faults(pictures.comparison(networks, "Two networks")) == []


def test_a_sheet_of_mistakes_has_only_mistakes():
    images = torch.zeros(4, 1, 28, 28, dtype=torch.uint8)
    probabilities = torch.eye(10)[[1, 2, 3, 4]] * 0.5 + 0.05
    probabilities[2] += 0.4 * torch.eye(10)[3]
    figure = _digits.mistakes(images, torch.tensor([1, 7, 8, 4]), probabilities)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert [title.split("\n")[1] for title in titles] == ["true 8", "true 7"]  # most confident first
    assert figure.get_suptitle() == "2 of the 2 test digits that are read wrong, most confident first"
    assert figures.faults(figure) == []


def test_a_sheet_without_mistakes_says_so():
    images = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    figure = _digits.mistakes(images, torch.tensor([1, 2]), torch.eye(10)[[1, 2]])
    assert figure.get_suptitle().startswith("All test digits are read right")


def test_steps_of_a_derivative_are_drawn_upright():
    figure = pictures.derivatives({"relu": torch.relu}, torch.tensor([-1.0, 0.5, 1.0]), "A corner and its derivative")
    x, y = (torch.tensor(figure.axes[0].lines[1].get_xdata()), torch.tensor(figure.axes[0].lines[1].get_ydata()))
    jump = int(y.diff().argmax())
    assert (x[jump + 1] - x[jump]) <= 0.001
