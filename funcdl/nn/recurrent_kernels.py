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
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from funcdl.transforms.tracing import in_graph

State = tuple[Tensor, ...]  # (h,), or (h, c) of an lstm
Biases = tuple[Tensor | None, Tensor | None]
Operator = Callable[..., tuple[Tensor, ...]]  # torch.gru and its kin
Kernel = Callable[[Tensor, tuple[Tensor, Tensor], Biases, State], tuple[Tensor, State]]

_LSTM = 2  # oneDNN's number of the mode
_HAS_ONEDNN = torch.backends.mkldnn.is_available()  # a trace cannot ask


def without_gradient(x: Tensor, weight: Tensor, *others: Tensor) -> bool:
    """Whether torch's operators serve for an input, a weight and all else that they read.

    A trace would write out their loops, a minute for 64 steps; for a gradient the loops of `recurrence.py` are faster.
    """
    return not in_graph() and not _for_gradient(x, weight, *others) and _of_one_dtype(x, weight)


def whole(operator: Operator) -> Kernel:
    """Returns the kernel that runs an rnn or a gru by torch's operator."""

    def kernel(x: Tensor, weights: tuple[Tensor, Tensor], biases: Biases, state: State) -> tuple[Tensor, State]:
        parameters = [*weights, *(bias for bias in biases if bias is not None)]
        y, last = operator(x, state[0].unsqueeze(0), parameters, len(parameters) == 4, 1, 0.0, False, False, False)
        return y, (last.squeeze(0),)

    return kernel


def packed(
    operator: Operator, x: Tensor, parameters: list[Tensor], state: State, lengths: Tensor
) -> tuple[Tensor, State]:
    """Runs all directions of a layer to the end of each sequence, as a module of `torch.nn` does a packed sequence.

    Args:
        operator: of the kind of layer.
        x: (time, batch, inputs).
        parameters: of each direction, `weight_ih`, `weight_hh` and the biases, if there are.
        state: the first one, (directions, batch, hidden).
        lengths: (batch,); a sequence without steps is given one.

    Returns:
        The outputs of the directions side by side, and the last state.
    """
    order = lengths.argsort(descending=True)
    back = order.argsort()
    pack = pack_padded_sequence(x[:, order], lengths[order].clamp(min=1).cpu())
    first = [part[:, order] for part in state]
    directions = len(state[0])
    has_biases = len(parameters) == 4 * directions
    y, *last = operator(
        pack.data, pack.batch_sizes, first[0] if len(first) == 1 else first, parameters, has_biases, 1, 0.0, False,
        directions == 2,
    )  # fmt: skip
    y, _ = pad_packed_sequence(pack._replace(data=y), total_length=len(x))
    return y[:, back], tuple(part[:, back] for part in last)


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
