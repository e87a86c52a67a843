"""Layers for sequences: recurrent ones, and the embedding of letters."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import nn, random

from ..lesson import Lesson
from .parameters import make


def recurrent(lesson: Lesson, key: Tensor) -> None:
    """A state that each step of a sequence changes: h = tanh(W_ih x + b_ih + W_hh h + b_hh)."""
    sequence, h = random.normal(key, (3, 1, 4)), torch.zeros(1, 2)
    cell, shapes = nn.rnn_cell(2), []
    params = make(cell, key, 1, 4)
    for x in sequence:
        inside = x @ params["weight_ih"].T + params["bias_ih"] + h @ params["weight_hh"].T + params["bias_hh"]
        h = cell(params, {"input": x, "hx": h})
        shapes.append([*x.shape, *h.shape])
    lesson.show("cell_shapes", "nn.rnn_cell(2): shapes of x and h, step by step", shapes, "1 4, 1 2")
    lesson.show("cell", "h = tanh(W_ih x + b_ih + W_hh h + b_hh)", torch.allclose(h, inside.tanh()), "equal")
    for layers, first in ((1, False), (2, False), (1, True)):
        layer = nn.rnn(2, layers, batch_first=first)
        x = sequence.transpose(0, 1) if first else sequence
        output, hidden = layer(make(layer, key, *x.shape), x)
        name = f"rnn_{layers}{'_batch_first' * first}"
        figure = f"{'1 3 2' if first else '3 1 2'}, {layers} 1 2"
        called = f"nn.rnn(2, {layers}{', batch_first=True' * first})"
        lesson.show(f"{name}_shapes", f"{called}: output, hidden", [list(output.shape), list(hidden.shape)], figure)
        last = output[:, -1] if first else output[-1]
        lesson.show(f"{name}_last", "output at the last step = hidden[-1]", torch.equal(last, hidden[-1]), "equal")
    both = nn.gru(5, bidirectional=True)
    output, hidden = both(make(both, key, 3, 1, 4), sequence)
    lesson.show("both_shapes", "nn.gru(5, bidirectional=True)", [list(output.shape), list(hidden.shape)], "L*2, B, H")
    ends = [torch.equal(output[-1, :, :5], hidden[-2]), torch.equal(output[0, :, 5:], hidden[-1])]
    lesson.show("both_ends", "forward ends at the last step, backward at the first", ends, "hidden[-2], hidden[-1]")


def embedding(lesson: Lesson, key: Tensor) -> None:
    """A row of the weight for each number: what a product with a one-hot vector picks."""
    layer, letters = nn.embedding(4, 3), torch.tensor([1, 0, 2, 2, 3])
    params, _ = layer.init(key, letters)
    picked = torch.nn.functional.one_hot(letters, 4).float() @ params["weight"]
    lesson.show("embedding", "embedding = one_hot @ weight", torch.equal(layer(params, letters), picked), "equal")
