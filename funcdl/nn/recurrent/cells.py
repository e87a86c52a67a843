"""The layers `rnn_cell`, `gru_cell` and `lstm_cell`: one time step of a recurrent network."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from funcdl.nn.initializers import Initializer
from funcdl.nn.layer import Layer, Params, parametric
from funcdl.nn.named_inputs import named_inputs
from funcdl.nn.recurrent.equations import GRU, LSTM, Cell, Nonlinearity, get_rnn_cell, input_bias
from funcdl.nn.recurrent.parameters import init_weights, initial_state
from funcdl.nn.validation import check_dtype, check_whole, entry
from funcdl.tree import Tree


def rnn_cell(
    hidden_size: int,
    bias: bool = True,
    nonlinearity: Nonlinearity = "tanh",
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """One step of a recurrent network: `h' = tanh(weight_ih x + bias_ih + weight_hh h + bias_hh)`.

    Args:
        hidden_size: the size of the state.
        bias: whether to add the two biases.
        nonlinearity: "tanh" or "relu".
        weight_init: draws the weights, of shapes (hidden_size, inputs) and (hidden_size, hidden_size);
            U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)) by default.
        bias_init: draws the biases, of shape (hidden_size,); by default from the same distribution as the weights.

    Inputs, as a tensor, a tuple or a dict: `input` (batch, inputs) or (inputs,); `hx` (batch, hidden_size) or
    (hidden_size,), the state, zeros by default. Output: the next state.

    Raises:
        ValueError: an argument is impossible; raised by `apply` if a shape is wrong.
        TypeError: raised by `apply` if the input has another dtype than the parameters.

    Equals `torch.nn.RNNCell`.

    >>> import torch
    >>> from funcdl import random
    >>> layer = rnn_cell(4)
    >>> params, buffers = layer.init(random.key(0), torch.empty(8, 3, device="meta"))
    >>> layer(params, (torch.ones(8, 3), torch.zeros(8, 4))).shape
    torch.Size([8, 4])
    """
    name = f"rnn_cell({hidden_size})"
    return _cell(name, get_rnn_cell(name, nonlinearity), hidden_size, bias, weight_init, bias_init)


def gru_cell(
    hidden_size: int,
    bias: bool = True,
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """One step of a gated recurrent unit.

    `r, z = sigmoid(...)` and `n = tanh(W_in x + b_in + r * (W_hn h + b_hn))`, then `h' = (1 - z) * n + z * h`.

    Arguments, inputs and output are those of `rnn_cell`; the weights have three blocks of `hidden_size` rows, for r, z
    and n.

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014. Equals `torch.nn.GRUCell`.

    >>> import torch
    >>> from funcdl import random
    >>> layer = gru_cell(4)
    >>> params, buffers = layer.init(random.key(0), torch.empty(8, 3, device="meta"))
    >>> params["weight_hh"].shape
    torch.Size([12, 4])
    """
    return _cell(f"gru_cell({hidden_size})", GRU, hidden_size, bias, weight_init, bias_init)


def lstm_cell(
    hidden_size: int,
    bias: bool = True,
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """One step of a long short-term memory.

    `i, f, o = sigmoid(...)` and `g = tanh(...)`, each of `W x + b + W' h + b'`; then `c' = f * c + i * g` and
    `h' = o * tanh(c')`.

    The arguments are those of `rnn_cell`; the weights have four blocks of `hidden_size` rows, for i, f, g and o. The
    state `hx` and the output are pairs (h, c), each (batch, hidden_size) or (hidden_size,).

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997. Equals `torch.nn.LSTMCell`.

    >>> import torch
    >>> from funcdl import random
    >>> layer = lstm_cell(4)
    >>> params, buffers = layer.init(random.key(0), torch.empty(8, 3, device="meta"))
    >>> h, c = layer(params, torch.ones(8, 3))
    >>> h.shape
    torch.Size([8, 4])
    """
    return _cell(f"lstm_cell({hidden_size})", LSTM, hidden_size, bias, weight_init, bias_init)


def _cell(
    name: str,
    cell: Cell,
    hidden_size: int,
    bias: bool,
    weight_init: Initializer | None,
    bias_init: Initializer | None,
) -> Layer:
    check_whole(name, hidden_size=hidden_size)
    if hidden_size < 1:
        raise ValueError(f"{name}: expected a hidden_size of at least 1")

    def init(key: Tensor, x: Tree) -> Params:
        x = read(x)[0]
        if x.ndim not in (1, 2):
            raise ValueError(f"{name}: expected (batch, inputs) or (inputs,), got shape {tuple(x.shape)}")
        return init_weights(key, cell, "", x.shape[-1], hidden_size, x.dtype, bias, weight_init, bias_init)

    def f(params: Params, x: Tree) -> Tree:
        x, hx = read(x)
        weight = entry(name, params, "weight_ih")
        if x.ndim not in (1, 2) or x.shape[-1] != weight.shape[1]:
            raise ValueError(f"{name}: expected (batch, {weight.shape[1]}), as in init(), got shape {tuple(x.shape)}")
        check_dtype(name, x, weight)
        shape = (*x.shape[:-1], hidden_size)
        state = initial_state(name, hx, [shape] * (2 if cell == LSTM else 1), weight)
        biases = (entry(name, params, "bias_ih"), entry(name, params, "bias_hh")) if bias else (None, None)
        from_input = F.linear(x, weight, input_bias(cell, *biases))
        state = cell.step(from_input, entry(name, params, "weight_hh"), biases[1], state)
        return state if cell == LSTM else state[0]

    def read(x: Tree) -> tuple[Float[Tensor, "*batch inputs"], Tree | None]:
        inputs = named_inputs(name, x, ("input", "hx"))
        return inputs["input"], inputs.get("hx")

    return parametric(init, f)
