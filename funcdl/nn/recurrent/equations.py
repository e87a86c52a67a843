"""The equations of one time step of `rnn`, `gru` and `lstm`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from funcdl.function_bundle import FunctionBundle
from funcdl.nn.recurrent.gru_loop import gru_loop
from funcdl.nn.recurrent.loop_helpers import Loop
from funcdl.nn.recurrent.lstm_loop import lstm_loop
from funcdl.nn.recurrent.rnn_loop import rnn_loop
from funcdl.nn.recurrent.torch_operators import Operator, State

Nonlinearity = Literal["tanh", "relu"]


@dataclass(frozen=True, repr=False)
class Cell(FunctionBundle):
    """The equations of a recurrent cell, and their implementations.

    Attributes:
        gates: the number of gates, blocks of `hidden_size` rows in the weights.
        bias: `bias(bias_ih, bias_hh)`, the bias added to `weight_ih x`: the sum of both, but without the `b_hn` of a
            gru, because that is multiplied by r.
        step: `step(from_input, weight_hh, bias_hh, state) -> state`, one step, with `from_input = weight_ih x + bias`.
        loop: `loop(x, weight_ih, weight_hh, (bias_ih, bias_hh), state, padding) -> states`, the fused loop over all
            steps and directions, with the shapes in `loop_helpers`.
        operator: torch's operator for layers and packed sequences.
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


def _rnn_step(activation: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor, Tensor | None, State], State]:
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
    return ((1 - z) * n + z * h,)  # exactly h where z = 1


def _lstm_step(from_input: Tensor, weight_hh: Tensor, bias_hh: Tensor | None, state: State) -> State:
    h, c = state
    i, f, g, o = (from_input + F.linear(h, weight_hh)).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _rnn(name: str, activation: Callable[[Tensor], Tensor]) -> Cell:
    step, loop = _rnn_step(activation), rnn_loop(relu=name == "relu")
    operator = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}[name]
    return Cell(1, _sum_of_biases, step, loop, operator)


RNN_CELLS = {"tanh": _rnn("tanh", torch.tanh), "relu": _rnn("relu", torch.relu)}
GRU = Cell(3, _gru_bias, _gru_step, gru_loop, torch.gru)
LSTM = Cell(4, _sum_of_biases, _lstm_step, lstm_loop, torch.lstm)


def input_bias(cell: Cell, bias_ih: Tensor | None, bias_hh: Tensor | None) -> Tensor | None:
    """Returns the bias added to `weight_ih x`, which does not depend on time; None without biases."""
    return None if bias_ih is None or bias_hh is None else cell.bias(bias_ih, bias_hh)


def get_rnn_cell(name: str, nonlinearity: str) -> Cell:
    """Returns the `rnn` cell of a nonlinearity; raises a ValueError if there is none."""
    if nonlinearity not in RNN_CELLS:
        raise ValueError(f"{name}: expected nonlinearity tanh or relu, got {nonlinearity!r}")
    return RNN_CELLS[nonlinearity]
