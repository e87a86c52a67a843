"""The layers `rnn`, `gru` and `lstm`: recurrent networks over sequences."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import random
from funcdl.context import values_are_known
from funcdl.nn.children import child_keys
from funcdl.nn.dropout_layers import dropout as dropout_layer
from funcdl.nn.initializers import Initializer
from funcdl.nn.layer import Buffers, Layer, Params
from funcdl.nn.named_inputs import named_inputs
from funcdl.nn.recurrent.dispatch import run_layer
from funcdl.nn.recurrent.equations import GRU, LSTM, Cell, Nonlinearity, get_rnn_cell
from funcdl.nn.recurrent.parameters import get_weights, init_weights, initial_state
from funcdl.nn.recurrent.torch_operators import State
from funcdl.nn.validation import check_dtype, check_whole, entry
from funcdl.tree import Tree


def rnn(
    hidden_size: int,
    num_layers: int = 1,
    nonlinearity: Nonlinearity = "tanh",
    bias: bool = True,
    batch_first: bool = False,
    dropout: float = 0.0,
    bidirectional: bool = False,
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Applies `rnn_cell` along sequences: `h_t = tanh(weight_ih x_t + bias_ih + weight_hh h_(t-1) + bias_hh)`.

    Args:
        hidden_size: the size of the state.
        num_layers: the number of stacked layers; each reads the outputs of the layer before.
        nonlinearity: "tanh" or "relu".
        bias: whether to add the two biases.
        batch_first: whether sequences are (batch, time, ...) instead of (time, batch, ...); it does not apply to
            states.
        dropout: the probability of a zero in the outputs of all layers but the last, while training.
        bidirectional: whether each layer also runs from the end to the start, with separate weights; the outputs of
            both directions are concatenated.
        weight_init: draws each weight, of `k * hidden_size` rows, where k is the number of gates (1; 3 for a `gru`, 4
            for an `lstm`); U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)) by default.
        bias_init: draws each bias; by default from the same distribution as the weights.

    Inputs, as a tensor, a tuple or a dict:
        - `input`, (time, batch, inputs), or (time, inputs) for one sequence;
        - `hx`, the initial state, (num_layers * directions, batch, hidden_size), or for one sequence without the batch;
          zeros by default;
        - `lengths`, int64 (batch,), or () for one sequence, or a list or array of ints: the number of time steps of
          each sequence. Outputs after its end are zero, its last state is the one at its end, where the reverse
          direction starts.

    Returns `(output, h_n)`: `output` (time, batch, directions * hidden_size) of the last layer; `h_n`, like `hx`, the
    last state of each layer and direction.

    Raises:
        ValueError: an argument is impossible; raised by `apply` if a shape is wrong, a length is more than the number
            of time steps (not checked inside `jit` and `vmap`), or the dropout has no key.
        TypeError: raised by `apply` if the input has another dtype than the parameters, or `lengths` is not of
            integers.

    Equals `torch.nn.RNN`, which takes `lengths` in a packed sequence. Nested `grad` and other transforms give
    derivatives of any order and kind. A gradient that is already computed, such as a result of the function from
    `torch.func.vjp` or of `torch.autograd` inside `grad`, cannot be differentiated again. This raises an error, except
    for plain autograd around `grad` inside `jit`, where it is not detected.

    >>> layer = rnn(4, batch_first=True)
    >>> params, buffers = layer.init(random.key(0), torch.empty(2, 5, 3, device="meta"))
    >>> output, h_n = layer(params, {"input": torch.ones(2, 5, 3), "lengths": torch.tensor([5, 2])})
    >>> output.shape, h_n.shape
    (torch.Size([2, 5, 4]), torch.Size([1, 2, 4]))
    >>> output[1, :, 0] != 0
    tensor([ True,  True, False, False, False])
    """
    name = f"rnn({hidden_size})"
    cell = get_rnn_cell(name, nonlinearity)
    return _recurrent(
        name, cell, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, weight_init, bias_init
    )


def gru(
    hidden_size: int,
    num_layers: int = 1,
    bias: bool = True,
    batch_first: bool = False,
    dropout: float = 0.0,
    bidirectional: bool = False,
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Applies `gru_cell` along sequences. Arguments, inputs, results and errors are those of `rnn`.

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014. Equals `torch.nn.GRU`.

    >>> layer = gru(4, num_layers=2)
    >>> params, buffers = layer.init(random.key(0), torch.empty(5, 2, 3, device="meta"))
    >>> output, h_n = layer(params, torch.ones(5, 2, 3))
    >>> output.shape, h_n.shape
    (torch.Size([5, 2, 4]), torch.Size([2, 2, 4]))
    """
    return _recurrent(
        f"gru({hidden_size})", GRU, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0,
        weight_init, bias_init,
    )  # fmt: skip


def lstm(
    hidden_size: int,
    num_layers: int = 1,
    bias: bool = True,
    batch_first: bool = False,
    dropout: float = 0.0,
    bidirectional: bool = False,
    proj_size: int = 0,
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Applies `lstm_cell` along sequences.

    Arguments, inputs and errors are those of `rnn`, but a state is a pair `(h, c)`, and so is the second result:
    `(output, (h_n, c_n))`. With a `proj_size`, h is projected to this size by a matrix, `weight_hr`.

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997; Sak et al., "Long short-term memory based
    recurrent neural network architectures", 2014. Equals `torch.nn.LSTM`.

    >>> layer = lstm(4, bidirectional=True)
    >>> params, buffers = layer.init(random.key(0), torch.empty(5, 2, 3, device="meta"))
    >>> output, (h_n, c_n) = layer(params, torch.ones(5, 2, 3))
    >>> output.shape, c_n.shape
    (torch.Size([5, 2, 8]), torch.Size([2, 2, 4]))
    """
    name = f"lstm({hidden_size})"
    check_whole(name, hidden_size=hidden_size, proj_size=proj_size)
    if not 0 <= proj_size < hidden_size:
        raise ValueError(f"{name}: expected a proj_size from 0 (none) to hidden_size - 1, got {proj_size}")
    return _recurrent(
        name, LSTM, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size,
        weight_init, bias_init,
    )  # fmt: skip


def _recurrent(
    name: str,
    cell: Cell,
    hidden_size: int,
    num_layers: int,
    bias: bool,
    batch_first: bool,
    dropout: float,
    bidirectional: bool,
    proj_size: int,
    weight_init: Initializer | None,
    bias_init: Initializer | None,
) -> Layer:
    check_whole(name, hidden_size=hidden_size, num_layers=num_layers, proj_size=proj_size)
    if hidden_size < 1 or num_layers < 1:
        raise ValueError(f"{name}: expected hidden_size and num_layers of at least 1, got {hidden_size}, {num_layers}")
    between_layers = dropout_layer(dropout)
    directions = ("", "_reverse") if bidirectional else ("",)
    out_size = proj_size or hidden_size

    def init(key: Tensor, x: Tree) -> tuple[Params, Buffers]:
        x = read(x)[0]
        keys = random.split(key, num_layers * len(directions)).unbind()
        params: Params = {}
        for index, layer_key in enumerate(keys):
            layer, direction = divmod(index, len(directions))
            inputs = out_size * len(directions) if layer else x.shape[-1]
            params |= init_weights(
                layer_key, cell, f"_l{layer}{directions[direction]}", inputs, hidden_size, x.dtype, bias,
                weight_init, bias_init, proj_size,
            )  # fmt: skip
        return params, {}

    def apply(
        params: Params, buffers: Buffers, x: Tree, *, key: Tensor | None = None, train: bool = False
    ) -> tuple[tuple[Tensor, Tree], Buffers]:
        y, hx, lengths = read(x)
        check_input(y, entry(name, params, "weight_ih_l0"))
        batched = y.ndim == 3
        y = y.transpose(0, 1) if batched and batch_first else y
        shape = (num_layers * len(directions), *y.shape[1:-1])
        shapes = [(*shape, out_size), (*shape, hidden_size)][: 2 if cell == LSTM else 1]
        state = initial_state(name, hx, shapes, y)
        if lengths is not None:
            _check_lengths(name, lengths, y)
        if not batched:  # a batch of one
            y, state = y.unsqueeze(1), tuple(part.unsqueeze(1) for part in state)
            lengths = None if lengths is None else lengths.unsqueeze(0)
        keys = child_keys(key, num_layers)
        last: list[State] = []
        for layer in range(num_layers):
            if layer:
                y, _ = between_layers.apply({}, {}, y, key=keys[layer - 1], train=train)
            here = slice(layer * len(directions), (layer + 1) * len(directions))
            weights = [
                get_weights(name, params, f"_l{layer}{direction}", bias, proj_size > 0) for direction in directions
            ]
            y, final = run_layer(cell, weights, y, tuple(part[here] for part in state), lengths)
            last.append(final)
        stacked = tuple(torch.cat(parts) for parts in zip(*last, strict=True))
        if not batched:
            y, stacked = y.squeeze(1), tuple(part.squeeze(1) for part in stacked)
        return (y.transpose(0, 1) if batched and batch_first else y, stacked if cell == LSTM else stacked[0]), buffers

    def read(x: Tree) -> tuple[Tensor, Tree | None, Tensor | None]:
        inputs = named_inputs(name, x, ("input", "hx", "lengths"))
        x = inputs["input"]
        time = x.shape[1 if batch_first and x.ndim == 3 else 0] if x.ndim else 0
        if x.ndim not in (2, 3) or 0 in (time, x.shape[-1]):
            order = "batch, time" if batch_first else "time, batch"
            raise ValueError(f"{name}: expected ({order}, inputs) or (time, inputs), got shape {tuple(x.shape)}")
        lengths = inputs.get("lengths")
        if lengths is not None and not isinstance(lengths, Tensor):
            lengths = torch.as_tensor(lengths, device=x.device)
            lengths = lengths if lengths.numel() else lengths.long()
        return x, inputs.get("hx"), lengths

    def check_input(x: Tensor, weight: Tensor) -> None:
        if x.shape[-1] != weight.shape[1]:
            raise ValueError(f"{name}: expected (..., {weight.shape[1]}), as in init(), got shape {tuple(x.shape)}")
        check_dtype(name, x, weight)

    return Layer(init, apply)


def _check_lengths(name: str, lengths: Tensor, x: Tensor) -> None:
    if lengths.dtype.is_floating_point or lengths.dtype == torch.bool:
        raise TypeError(f"{name}: expected lengths of an integer dtype, got {lengths.dtype}")
    if lengths.shape != x.shape[1:-1]:
        raise ValueError(f"{name}: expected lengths of shape {tuple(x.shape[1:-1])}, got {tuple(lengths.shape)}")
    if values_are_known(lengths) and not ((lengths >= 0) & (lengths <= len(x))).all():
        raise ValueError(
            f"{name}: expected lengths from 0 to {len(x)}, the time steps of the input, got {lengths.tolist()}"
        )
