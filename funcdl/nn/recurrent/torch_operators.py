"""Torch's operators for an entire layer of `rnn`, `gru` or `lstm`, and when they are used.

With gradients our fused loops are faster, and in a trace torch's operators are unrolled step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from funcdl.context import functorch_is_active, in_graph

State = tuple[Tensor, ...]  # (h,), or (h, c) of an lstm
Operator = Callable[..., tuple[Tensor, ...]]  # torch.rnn_tanh, torch.rnn_relu, torch.gru or torch.lstm


def supports_inference(x: Tensor, weight: Tensor, *others: Tensor) -> bool:
    """Whether torch's operators can be used for these tensors: eager, without gradients, and in one dtype."""
    return not in_graph() and not _needs_gradient(x, weight, *others) and have_one_dtype(x, weight)


def supports_layer(operator: Operator, x: Tensor, weight: Tensor, *others: Tensor) -> bool:
    """Whether `run_operator` can be used: for inference, and for an lstm on the CPU (oneDNN) with plain autograd."""
    if supports_inference(x, weight, *others):
        return True
    is_onednn = operator is torch.lstm and x.device.type == "cpu" and x.dtype == torch.float32
    return is_onednn and not in_graph() and not functorch_is_active() and have_one_dtype(x, weight)


def have_one_dtype(x: Tensor, weight: Tensor) -> bool:
    """Whether input and weight have the same dtype and autocast is off."""
    autocast = x.device.type != "meta" and torch.is_autocast_enabled(x.device.type)  # autocast raises an error for meta
    return x.dtype == weight.dtype and not autocast


def run_operator(operator: Operator, x: Tensor, parameters: list[Tensor], state: State) -> tuple[Tensor, State]:
    """Runs all directions of a layer.

    Args:
        operator: torch's, for the kind of layer.
        x: (time, batch, inputs).
        parameters: for each direction `weight_ih`, `weight_hh` and the biases, if any.
        state: the initial state, (directions, batch, hidden).

    Returns:
        The concatenated outputs of the directions, and the last state.
    """
    y, *last = operator(x, *_settings(parameters, state), False)
    return y, tuple(last)


def run_operator_packed(
    operator: Operator, x: Tensor, parameters: list[Tensor], state: State, lengths: Tensor
) -> tuple[Tensor, State]:
    """Like `run_operator`, for sequences of these `lengths` (batch,), as `torch.nn` runs a packed sequence.

    An empty sequence counts as one step.
    """
    order = lengths.argsort(descending=True)
    back = order.argsort()
    pack = pack_padded_sequence(x[:, order], lengths[order].clamp(min=1).cpu())
    first = tuple(part[:, order] for part in state)
    y, *last = operator(pack.data, pack.batch_sizes, *_settings(parameters, first))
    y, _ = pad_packed_sequence(pack._replace(data=y), total_length=len(x))
    return y[:, back], tuple(part[:, back] for part in last)


def _settings(parameters: list[Tensor], state: State) -> tuple[Any, ...]:
    directions = len(state[0])
    has_biases, layers, dropout, train = len(parameters) == 4 * directions, 1, 0.0, False
    first = state[0] if len(state) == 1 else state
    return first, parameters, has_biases, layers, dropout, train, directions == 2


def _needs_gradient(*tensors: Tensor) -> bool:
    return functorch_is_active() or (torch.is_grad_enabled() and any(t.requires_grad for t in tensors))
