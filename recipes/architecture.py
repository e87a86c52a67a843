"""A network in a lesson: its layers, the shape of what each makes of an example, and its parameters."""

from __future__ import annotations

import contextlib

from funcdl import nn
from funcdl.tree import Tree

from .lesson import Lesson


def show_layers(lesson: Lesson, model: nn.Layer, x: Tree, name: str = "layers") -> nn.SummaryRow:
    """Adds a line with a row for each layer of the network to the lesson.

    Args:
        lesson: gets the line, and in its metrics the rows.
        model: the network.
        x: an example of its inputs, as the network gets them; only shapes are read.
        name: of the line.

    Returns:
        The total: its parameters, and its multiplications with additions for this example.

    >>> lesson = Lesson()
    >>> import torch
    >>> total = show_layers(lesson, nn.serial(fc1=nn.linear(4), relu=nn.relu(), fc2=nn.linear(1)), torch.empty(8, 3))
    >>> print(lesson.lines[0].result)
    fc1: linear, (8, 4), 16 parameters
    relu: relu, (8, 4)
    fc2: linear, (8, 1), 5 parameters
    all: 21 parameters
    >>> total.multiply_adds
    128
    """
    with contextlib.redirect_stdout(None):  # its rows, not its table
        total, *rows = nn.summary(model, x)
    texts = [f"{row.path}: {row.kind}, {_shapes(row.output)}{_counted(row)}" for row in rows]
    words = "the layers in order: the name and kind of each, the shape of its output, and its parameters"
    lesson.show(name, words, "\n".join([*texts, f"all: {total.parameters:,} parameters"]))
    return total


def _shapes(output: Tree) -> str:
    return str(output).replace("'", "")


def _counted(row: nn.SummaryRow) -> str:
    return f", {row.parameters:,} parameters" if row.parameters else ""
