"""Recurrent networks for sequences: classifiers, a letter model, and helpers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from funcdl import nn
from funcdl.nn import Layer
from funcdl.nn.layer import APPLY_CONTRACT, Buffers, Params, as_pair
from funcdl.tree import Tree

Recurrence = Literal["rnn", "gru", "lstm"]


def name_classifier(classes: int, characters: int = 128, hidden_size: int = 100) -> Layer:
    """A classifier of words by their letters: an embedding, two layers of a bidirectional `gru`, and a linear layer.

    The linear layer reads the last states of the second layer, backward direction first.

    Args:
        classes: the number of classes.
        characters: the number of different characters.
        hidden_size: the size of the embedding and of each state.

    Inputs: a dict of `input`, int64 (batch, time), and `lengths`, int64 (batch,). Output: logits (batch, classes).

    >>> from funcdl import random, tree
    >>> words = {"input": torch.tensor([[72, 105, 0], [89, 111, 117]]), "lengths": torch.tensor([2, 3])}
    >>> params, buffers = name_classifier(18).init(random.key(0), words)
    >>> tree.size(params), list(params)
    (318818, ['embedding', 'gru', 'fc'])
    """
    return nn.serial(
        embedding=at("input", nn.embedding(characters, hidden_size)),
        gru=nn.gru(hidden_size, num_layers=2, batch_first=True, bidirectional=True),
        last=lambda results: torch.cat([results[1][-1], results[1][-2]], 1),
        fc=nn.linear(classes),
    )


def phrase_classifier(classes: int, words: int, size: int = 64, dropout: float = 0.5) -> Layer:
    """A classifier of phrases by their words: an embedding, a bidirectional `lstm`, dropout and a linear layer.

    The linear layer reads the last states of both directions, forward first.

    Args:
        classes: the number of classes.
        words: the size of the vocabulary. Word 0, the padding, has an embedding of zeros.
        size: the size of the embedding and of each state.
        dropout: the probability of a zero in the input of the linear layer, in training.

    Inputs: a dict of `input`, int64 (batch, time), and `lengths`, int64 (batch,). Output: logits (batch, classes).

    >>> from funcdl import random, tree
    >>> phrases = {"input": torch.tensor([[5, 2, 0], [3, 4, 1]]), "lengths": torch.tensor([2, 3])}
    >>> params, buffers = phrase_classifier(5, words=6).init(random.key(0), phrases)
    >>> phrase_classifier(5, words=6)(params, phrases).shape, params["fc"]["weight"].shape
    (torch.Size([2, 5]), torch.Size([5, 128]))
    """
    return nn.serial(
        embedding=at("input", nn.embedding(words, size, padding_idx=0)),
        lstm=nn.lstm(size, batch_first=True, bidirectional=True),
        last=lambda results: torch.cat([results[1][0][-2], results[1][0][-1]], 1),
        dropout=nn.dropout(dropout),
        fc=nn.linear(classes),
    )


def row_classifier(classes: int = 10, hidden_size: int = 64) -> Layer:
    """A classifier of images by their rows: an `lstm` reads them from top to bottom, a linear layer its last output.

    Args:
        classes: the number of classes.
        hidden_size: the size of a state.

    Inputs (batch, rows, columns), output logits (batch, classes).

    >>> from funcdl import random, tree
    >>> params, buffers = row_classifier().init(random.key(0), torch.empty(1, 28, 28, device="meta"))
    >>> tree.size(params)
    24714
    """
    return nn.serial(
        rnn=nn.lstm(hidden_size, batch_first=True), last=lambda results: results[0][:, -1], out=nn.linear(classes)
    )


def letter_model(
    recurrence: Recurrence, letters: int, embedding_size: int, hidden_size: int, num_layers: int = 1
) -> Layer:
    """A model of letter sequences: an embedding, a recurrent network, and a linear layer at each step.

    Args:
        recurrence: "rnn", "gru" or "lstm".
        letters: the number of different letters.
        embedding_size: the size of a letter's embedding.
        hidden_size: the size of a state.
        num_layers: the number of layers of the recurrent network.

    Inputs int64 (batch, time), output logits (batch, time, letters).

    >>> from funcdl import random
    >>> params, buffers = letter_model("rnn", 4, 10, 8, 2).init(random.key(0), torch.tensor([[1, 0, 2, 2, 3]]))
    >>> list(params), params["fc"]["weight"].shape
    (['emb', 'rnn', 'fc'], torch.Size([4, 8]))
    """
    constructors: dict[str, Callable[..., Layer]] = {"rnn": nn.rnn, "gru": nn.gru, "lstm": nn.lstm}
    return nn.serial(
        emb=nn.embedding(letters, embedding_size),
        rnn=constructors[recurrence](hidden_size, num_layers, batch_first=True),
        outputs=lambda results: results[0],
        fc=nn.linear(letters),
    )


def unrolled(cell: Layer) -> Layer:
    """Applies a recurrent cell, whose outputs are its states, along dimension 1; returns all states.

    Args:
        cell: a cell with the inputs `(x, h)`, such as `nn.rnn_cell(4)`; its parameters are those of this layer.

    Inputs (batch, time, inputs), output (batch, time, hidden).

    >>> from funcdl import random
    >>> layer = unrolled(nn.rnn_cell(4))
    >>> params, buffers = layer.init(random.key(0), torch.empty(1, 5, 3, device="meta"))
    >>> layer(params, torch.ones(1, 5, 3)).shape
    torch.Size([1, 5, 4])
    """

    def init(key: Tensor, x: Tensor) -> Params:
        return cell.init(key, x[:, 0])[0]

    def f(params: Params, x: Tensor) -> Tensor:
        states = [cell(params, x[:, 0])]
        for step in range(1, x.shape[1]):
            states.append(cell(params, (x[:, step], states[-1])))
        return torch.stack(states, 1)

    return nn.parametric(init, f)


def at(entry: str, layer: Layer) -> Layer:
    """Applies a layer to one entry of a dict, and returns the others unchanged.

    Args:
        entry: the key of the layer's input, which its output replaces.
        layer: the layer; its parameters are those of this layer.

    >>> doubled = at("input", nn.stateless(lambda x: 2 * x))
    >>> doubled({}, {"input": torch.tensor([1, 2]), "lengths": torch.tensor(2)})
    {'input': tensor([2, 4]), 'lengths': tensor(2)}
    """

    def init(key: Tensor, x: dict[str, Tensor]) -> tuple[Params, Buffers]:
        return layer.init(key, x[entry])

    def apply(
        params: Params, buffers: Buffers, x: dict[str, Tensor], *, key: Tensor | None = None, train: bool = False
    ) -> tuple[dict[str, Tree], Buffers]:
        y, buffers = as_pair("at", APPLY_CONTRACT, layer.apply(params, buffers, x[entry], key=key, train=train))
        return {**x, entry: y}, buffers

    return Layer(init, apply)
