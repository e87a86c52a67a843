"""One step of a recurrent network: the maths, and the layers `rnn_cell`, `gru_cell` and `lstm_cell`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from funcdl import random
from funcdl.closures import OfFunctions
from funcdl.nn.initializers import Initializer, uniform
from funcdl.nn.layer import Layer, Params, parametric
from funcdl.nn.named_inputs import named_inputs
from funcdl.nn.recurrent.gru_loop import gru_loop
from funcdl.nn.recurrent.loop_helpers import Loop
from funcdl.nn.recurrent.lstm_loop import lstm_loop
from funcdl.nn.recurrent.rnn_loop import rnn_loop
from funcdl.nn.recurrent.torch_operators import Operator, State
from funcdl.nn.validation import check_dtype, check_whole, entry
from funcdl.tree import Tree

Nonlinearity = Literal["tanh", "relu"]


@dataclass(frozen=True, repr=False)
class Cell(OfFunctions):
    """A kind of recurrence.

    Attributes:
        gates: how many blocks of `hidden_size` rows the weights have.
        bias: `bias(bias_ih, bias_hh)`, what is added to the input's share of the gates; all but the `b_hn` of a gru,
            which stands inside the product with r.
        step: `step(from_input, weight_hh, bias_hh, state) -> state`, where `from_input` is the input's share of the
            gates, `weight_ih x` and the bias.
        loop: `loop(x, weight_ih, weight_hh, (bias_ih, bias_hh), state, outside) -> states` does all steps of all
            directions, with the shapes of `recurrence`.
        operator: torch's for layers and packed sequences.
    """

    gates: int
    bias: Callable[[Tensor, Tensor], Tensor]
    step: Callable[[Tensor, Tensor, Tensor | None, State], State]
    loop: Loop
    operator: Operator


def _sum_of_biases(bias_ih: Tensor, bias_hh: Tensor) -> Tensor:
    return bias_ih + bias_hh


def _gru_bias(bias_ih: Tensor, bias_hh: Tensor) -> Tensor:
    r_and_z, n = bias_hh.tensor_split([len(bias_hh) // 3 * 2])
    return bias_ih + torch.cat([r_and_z, torch.zeros_like(n)])


def _simple_step(activation: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor, Tensor | None, State], State]:
    def step(from_input: Tensor, weight_hh: Tensor, bias_hh: Tensor | None, state: State) -> State:
        return (activation(from_input + F.linear(state[0], weight_hh)),)

    return step


def _gru_step(from_input: Tensor, weight_hh: Tensor, bias_hh: Tensor | None, state: State) -> State:
    (h,) = state
    r, z, n = from_input.chunk(3, -1)
    r_h, z_h, n_h = F.linear(h, weight_hh).chunk(3, -1)
    r, z = torch.sigmoid(r + r_h), torch.sigmoid(z + z_h)
    n_h = n_h if bias_hh is None else n_h + bias_hh[-h.shape[-1] :]
    n = torch.tanh(n + r * n_h)
    return ((1 - z) * n + z * h,)  # h itself where z = 1


def _lstm_step(from_input: Tensor, weight_hh: Tensor, bias_hh: Tensor | None, state: State) -> State:
    h, c = state
    i, f, g, o = (from_input + F.linear(h, weight_hh)).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _simple(name: str, activation: Callable[[Tensor], Tensor]) -> Cell:
    step, loop = _simple_step(activation), rnn_loop(relu=name == "relu")
    operator = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}[name]
    return Cell(1, _sum_of_biases, step, loop, operator)


SIMPLE = {"tanh": _simple("tanh", torch.tanh), "relu": _simple("relu", torch.relu)}
GRU = Cell(3, _gru_bias, _gru_step, gru_loop, torch.gru)
LSTM = Cell(4, _sum_of_biases, _lstm_step, lstm_loop, torch.lstm)


def input_bias(cell: Cell, bias_ih: Tensor | None, bias_hh: Tensor | None) -> Tensor | None:
    """Returns what is added to the input's share of the gates, for all times at once; None without biases."""
    return None if bias_ih is None or bias_hh is None else cell.bias(bias_ih, bias_hh)


def simple_cell(name: str, nonlinearity: str) -> Cell:
    """Returns the cell of an `rnn`; raises a ValueError when there is none of this nonlinearity."""
    if nonlinearity not in SIMPLE:
        raise ValueError(f"{name}: expected nonlinearity tanh or relu, got {nonlinearity!r}")
    return SIMPLE[nonlinearity]


def rnn_cell(
    hidden_size: int,
    bias: bool = True,
    nonlinearity: Nonlinearity = "tanh",
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """One step of a simple recurrence: `h' = tanh(weight_ih x + bias_ih + weight_hh h + bias_hh)`.

    Args:
        hidden_size: the size of the state.
        bias: whether to add the two biases.
        nonlinearity: "tanh" or "relu".
        weight_init: draws the weights, of shapes (hidden_size, inputs) and (hidden_size, hidden_size);
            U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)) by default.
        bias_init: draws the biases, of shape (hidden_size,); as the weights by default.

    Inputs, as a tensor, a tuple or a dict: `input` (batch, inputs) or (inputs,); `hx` (batch, hidden_size) or
    (hidden_size,), the state, zeros by default. Output: the next state.

    Raises:
        ValueError: an argument is impossible; by `apply`, when a shape is wrong.
        TypeError: by `apply`, when the input has another dtype than the parameters.

    Equals `torch.nn.RNNCell`.

    >>> layer = rnn_cell(4)
    >>> params, buffers = layer.init(random.key(0), torch.empty(8, 3, device="meta"))
    >>> layer(params, (torch.ones(8, 3), torch.zeros(8, 4))).shape
    torch.Size([8, 4])
    """
    name = f"rnn_cell({hidden_size})"
    return _cell(name, simple_cell(name, nonlinearity), hidden_size, bias, weight_init, bias_init)


def gru_cell(
    hidden_size: int,
    bias: bool = True,
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """One step of a gated recurrent unit.

    `r, z = sigmoid(...)` and `n = tanh(W_in x + b_in + r * (W_hn h + b_hn))`, then `h' = (1 - z) * n + z * h`.

    Arguments, inputs and output as of `rnn_cell`; the weights have three blocks of `hidden_size` rows, for r, z and n.

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014. Equals `torch.nn.GRUCell`.

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

    Arguments as of `rnn_cell`; the weights have four blocks of `hidden_size` rows, for i, f, g and o. The state `hx`
    and the output are pairs (h, c), each (batch, hidden_size) or (hidden_size,).

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997. Equals `torch.nn.LSTMCell`.

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
        return recurrent_weights(key, cell, "", x.shape[-1], hidden_size, x.dtype, bias, weight_init, bias_init)

    def f(params: Params, x: Tree) -> Tree:
        x, hx = read(x)
        weight = entry(name, params, "weight_ih")
        if x.ndim not in (1, 2) or x.shape[-1] != weight.shape[1]:
            raise ValueError(f"{name}: expected (batch, {weight.shape[1]}), as in init(), got shape {tuple(x.shape)}")
        check_dtype(name, x, weight)
        shape = (*x.shape[:-1], hidden_size)
        state = state_tuple(name, hx, [shape] * (2 if cell == LSTM else 1), weight)
        biases = (entry(name, params, "bias_ih"), entry(name, params, "bias_hh")) if bias else (None, None)
        from_input = F.linear(x, weight, input_bias(cell, *biases))
        state = cell.step(from_input, entry(name, params, "weight_hh"), biases[1], state)
        return state if cell == LSTM else state[0]

    def read(x: Tree) -> tuple[Float[Tensor, "*batch inputs"], Tree | None]:
        inputs = named_inputs(name, x, ("input", "hx"))
        return inputs["input"], inputs.get("hx")

    return parametric(init, f)


def state_tuple(name: str, hx: Tree | None, shapes: list[tuple[int, ...]], weight: Tensor) -> State:
    """Returns the initial state as a tuple: `hx`, or zeros; raises a ValueError when it has other shapes."""
    if hx is None:
        return tuple(torch.zeros(shape, dtype=weight.dtype, device=weight.device) for shape in shapes)
    state = (hx,) if isinstance(hx, Tensor) else tuple(hx)
    if [tuple(part.shape) for part in state] != shapes:
        got = " and ".join(str(tuple(part.shape)) for part in state)
        raise ValueError(f"{name}: expected hx of shape {' and '.join(map(str, shapes))}, got {got}")
    return state


def recurrent_weights(
    key: Tensor,
    cell: Cell,
    suffix: str,
    inputs: int,
    hidden_size: int,
    dtype: torch.dtype,
    bias: bool,
    weight_init: Initializer | None,
    bias_init: Initializer | None,
    proj_size: int = 0,
) -> dict[str, Tensor]:
    """Returns the parameters of one layer and direction, by torch's names for them with `suffix` at the end."""
    rows = cell.gates * hidden_size
    shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, inputs), "weight_hh": (rows, proj_size or hidden_size)}
    if bias:
        shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
    if proj_size:
        shapes["weight_hr"] = (proj_size, hidden_size)
    default = uniform(-1 / math.sqrt(hidden_size), 1 / math.sqrt(hidden_size))
    dtype = dtype if dtype.is_floating_point else torch.get_default_dtype()
    return {
        name + suffix: ((weight_init if name.startswith("weight") else bias_init) or default)(name_key, shape, dtype)
        for (name, shape), name_key in zip(shapes.items(), random.split(key, len(shapes)), strict=True)
    }
