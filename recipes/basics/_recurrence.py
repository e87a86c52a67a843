"""Layers for sequences: recurrent ones, and the embedding of letters."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import nn, random, tree

from ..lesson import Lesson


def recurrent(lesson: Lesson, key: Tensor) -> None:
    """A state that each step of a sequence changes: h = tanh(W_ih x + b_ih + W_hh h + b_hh)."""
    sequence, h = random.normal(key, (3, 1, 4)), torch.zeros(1, 2)
    cell, shapes = nn.rnn_cell(2), []
    params, _ = cell.init(key, sequence[0])
    for x in sequence:
        inside = x @ params["weight_ih"].T + params["bias_ih"] + h @ params["weight_hh"].T + params["bias_hh"]
        h = cell(params, {"input": x, "hx": h})
        shapes.append([*x.shape, *h.shape])
    lesson.show("cell_shapes", "nn.rnn_cell(2): shapes of x and h, step by step", shapes, "1 4, 1 2")
    lesson.show("cell", "h = tanh(W_ih x + b_ih + W_hh h + b_hh)", torch.allclose(h, inside.tanh()), "equal")

    def apply(layer: nn.Layer, x: Tensor) -> tree.Tree:
        return layer(layer.init(key, x)[0], x)

    output, hidden = apply(nn.rnn(2), sequence)
    lesson.show_code("rnn_1_shapes", (output.shape, hidden.shape), "3 1 2, 1 1 2", preceding=1)
    lesson.show_code("rnn_1_last", torch.equal(output[-1], hidden[-1]), "equal")
    output, hidden = apply(nn.rnn(2, 2), sequence)
    lesson.show_code("rnn_2_shapes", (output.shape, hidden.shape), "3 1 2, 2 1 2", preceding=1)
    lesson.show_code("rnn_2_last", torch.equal(output[-1], hidden[-1]), "equal")
    output, hidden = apply(nn.rnn(2, batch_first=True), sequence.transpose(0, 1))
    lesson.show_code("rnn_1_batch_first_shapes", (output.shape, hidden.shape), "1 3 2, 1 1 2", preceding=1)
    lesson.show_code("rnn_1_batch_first_last", torch.equal(output[:, -1], hidden[-1]), "equal")
    output, hidden = apply(nn.gru(5, bidirectional=True), sequence)
    lesson.show_code("both_shapes", (output.shape, hidden.shape), "L*2, B, H", preceding=1)
    ends = torch.equal(output[-1, :, :5], hidden[-2]), torch.equal(output[0, :, 5:], hidden[-1])
    lesson.show("both_ends", "forward ends at the last step, backward at the first", ends, "hidden[-2], hidden[-1]")


def embedding(lesson: Lesson, key: Tensor) -> None:
    """A row of the weight for each number, which is what multiplying it by a one-hot vector selects."""
    layer, letters = nn.embedding(4, 3), torch.tensor([1, 0, 2, 2, 3])
    params, _ = layer.init(key, letters)
    selected = torch.nn.functional.one_hot(letters, 4).float() @ params["weight"]
    lesson.show_code("embedding", torch.equal(layer(params, letters), selected), "equal", preceding=1)
