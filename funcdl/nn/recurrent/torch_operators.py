"""Torch's own operators for a whole layer of `rnn`, `gru` or `lstm`, and when they serve.

For a gradient the loops of `recurrence` are faster, and a trace would write the operators' steps out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from funcdl.context import functorch_is_active, in_graph

State = tuple[Tensor, ...]  # (h,), or (h, c) of an lstm
Operator = Callable[..., tuple[Tensor, ...]]  # torch.gru and its kin


def without_gradient(x: Tensor, weight: Tensor, *others: Tensor) -> bool:
    """Whether torch's operators serve for an input, a weight and all else that they read."""
    return not in_graph() and not _for_gradient(x, weight, *others) and of_one_dtype(x, weight)


def has_whole(operator: Operator, x: Tensor, weight: Tensor, *others: Tensor) -> bool:
    """Whether `whole` serves: also for plain autograd's gradient of an lstm, which is oneDNN's on the CPU."""
    if without_gradient(x, weight, *others):
        return True
    is_onednns = operator is torch.lstm and x.device.type == "cpu" and x.dtype == torch.float32
    return is_onednns and not in_graph() and not functorch_is_active() and of_one_dtype(x, weight)


def of_one_dtype(x: Tensor, weight: Tensor) -> bool:
    """Whether an input and a weight have one dtype, and autocast does not change that."""
    known = x.device.type != "meta"  # of which autocast has not heard
    return x.dtype == weight.dtype and not (known and torch.is_autocast_enabled(x.device.type))


def whole(operator: Operator, x: Tensor, parameters: list[Tensor], state: State) -> tuple[Tensor, State]:
    """Runs all directions of a layer.

    Args:
        operator: of the kind of layer.
        x: (time, batch, inputs).
        parameters: of each direction, `weight_ih`, `weight_hh` and the biases, if there are.
        state: the first one, (directions, batch, hidden).

    Returns:
        The outputs of the directions side by side, and the last state.
    """
    y, *last = operator(x, *_settings(parameters, state), False)
    return y, tuple(last)


def packed(
    operator: Operator, x: Tensor, parameters: list[Tensor], state: State, lengths: Tensor
) -> tuple[Tensor, State]:
    """As `whole`, to the end of each sequence, as a module of `torch.nn` does a packed sequence.

    A sequence without steps, of the `lengths` (batch,), is given one.
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


def _for_gradient(*tensors: Tensor) -> bool:
    return functorch_is_active() or (torch.is_grad_enabled() and any(t.requires_grad for t in tensors))
