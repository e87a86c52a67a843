"""Torch's own operators for a whole layer of `rnn`, `gru` or `lstm` in one direction, with their conditions.

Each is `kernel(x, weights, biases, state) -> (y, last_state)`: x (time, batch, inputs), y (time, batch, hidden) and
the parts of a state (batch, hidden). They know the first derivative alone, and no `vmap`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

State = tuple[Tensor, ...]  # (h,), or (h, c) of an lstm
Biases = tuple[Tensor | None, Tensor | None]
Kernel = Callable[[Tensor, tuple[Tensor, Tensor], Biases, State], tuple[Tensor, State]]

_LSTM = 2  # oneDNN's number of the mode
_HAS_ONEDNN = torch.backends.mkldnn.is_available()  # a trace cannot ask


def without_gradient(x: Tensor, weight: Tensor, *others: Tensor) -> bool:
    """Whether `simple_kernel` and `gru_kernel` serve for an input, a weight and all else that they read.

    A trace would write out their loops, a minute for 64 steps; for a gradient the loops of `recurrence.py` are faster.
    """
    return not torch.compiler.is_compiling() and not _for_gradient(x, weight, *others) and _of_one_dtype(x, weight)


def simple_kernel(activation: str) -> Kernel:
    """Returns the kernel of an rnn with this activation."""
    operator = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}[activation]

    def kernel(x: Tensor, weights: tuple[Tensor, Tensor], biases: Biases, state: State) -> tuple[Tensor, State]:
        parameters = [*weights, *(bias for bias in biases if bias is not None)]
        y, last = operator(x, state[0].unsqueeze(0), parameters, len(parameters) == 4, 1, 0.0, False, False, False)
        return y, (last.squeeze(0),)

    return kernel


def gru_kernel(x: Tensor, weights: tuple[Tensor, Tensor], biases: Biases, state: State) -> tuple[Tensor, State]:
    """Runs a gru."""
    parameters = [*weights, *(bias for bias in biases if bias is not None)]
    y, last = torch.gru(x, state[0].unsqueeze(0), parameters, len(parameters) == 4, 1, 0.0, False, False, False)
    return y, (last.squeeze(0),)


def has_lstm(x: Tensor, weight: Tensor, *others: Tensor) -> bool:
    """Whether `lstm_kernel` serves: oneDNN's, for one dtype and processor."""
    return _HAS_ONEDNN and x.device.type == "cpu" and x.dtype == torch.float32 and _of_one_dtype(x, weight)


def lstm_kernel(x: Tensor, weights: tuple[Tensor, Tensor], biases: Biases, state: State) -> tuple[Tensor, State]:
    """Runs an lstm by the operators behind `torch.lstm`, which a trace would take apart."""
    zeros = x.new_zeros(len(weights[0]))
    both = [zeros if bias is None else bias for bias in biases]
    h, c = state
    for_gradient = _for_gradient(x, *weights, *both, h, c)
    with contextlib.nullcontext() if for_gradient else torch.no_grad():
        y, *last, _ = _lstm(x, *weights, *both, h, c, for_gradient=for_gradient)
    return y, tuple(last)


def _lstm(x: Tensor, *weights_and_state: Tensor, for_gradient: bool) -> Any:
    tensors = [tensor.contiguous() for tensor in weights_and_state]
    h = weights_and_state[-2]
    return torch.ops.aten.mkldnn_rnn_layer(
        x.contiguous(), *tensors, reverse=False, batch_sizes=[], mode=_LSTM, hidden_size=h.shape[-1], num_layers=1,
        has_biases=True, bidirectional=False, batch_first=False, train=for_gradient,
    )  # fmt: skip


def _for_gradient(*tensors: Tensor) -> bool:
    below_grad: bool = torch._C._are_functorch_transforms_active()
    return below_grad or (torch.is_grad_enabled() and any(t.requires_grad for t in tensors))


def _of_one_dtype(x: Tensor, weight: Tensor) -> bool:
    known = x.device.type != "meta"  # of which autocast has not heard
    return x.dtype == weight.dtype and not (known and torch.is_autocast_enabled(x.device.type))
